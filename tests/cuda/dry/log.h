/* The log of a dry card: one line for each piece of work that a program hands to it, in the file that MTIDS_DRY_LOG names. */
#pragma once
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void launched(const char *what) {
  static int file = -1;
  if (file < 0) {
    const char *path = getenv("MTIDS_DRY_LOG");
    file = open(path ? path : "/dev/null", O_WRONLY | O_CREAT | O_APPEND, 0644);
  }
  /* One call, so that lines of several threads do not mix. */
  char line[200];
  strncpy(line, what, sizeof line - 2);
  line[sizeof line - 2] = 0;
  size_t length = strlen(line);
  line[length] = '\n';
  if (write(file, line, length + 1) < 0) abort();
}
