/* cuRAND of a dry card. */
#include "log.h"

static int object;

int curandCreateGenerator(void **generator, int kind) { (void)kind; *generator = &object; return 0; }
#define DRAW(name) \
  int name(void) { launched(#name); return 0; }
DRAW(curandGenerateUniform)
DRAW(curandGenerateUniformDouble)
DRAW(curandGenerateNormal)
DRAW(curandGenerateNormalDouble)
