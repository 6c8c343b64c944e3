"""Import circles between the files of a crate: prints them, exits with 1 if there is one.

Run from the repository's root; `make lint` calls it. An edge goes from a file to the file whose item it names (`use crate::…`, `use super::…`,
paths in code). Re-exports are followed to where the item is defined; a parent's `pub use` of its own children is no import. Unit tests
(`#[cfg(test)] mod`) are left out.
"""

import re
import sys
from pathlib import Path

COMMENT = re.compile(r"//[^\n]*")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
TESTS = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod \w+ \{.*", re.DOTALL)
USE = re.compile(r"(?m)^[ \t]*(pub(?:\([^)]*\))? )?use ([^;]+);")
PATH = re.compile(r"\b(?:crate|super|self)(?:::\w+)+")


def leaves(tree):
    """The paths of a use tree: `a::{b, c::d}` gives a::b and a::c::d."""
    tree = re.sub(r"\s+as\s+\w+", "", re.sub(r"\s+", " ", tree)).strip()
    start = tree.find("{")
    if start < 0:
        return [tree.replace(" ", "")]
    head, body, depth, part, parts = tree[:start].replace(" ", ""), tree[start + 1 : tree.rindex("}")], 0, "", []
    for letter in body:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [leaf for one in [*parts, part] if one.strip() for leaf in leaves(head + one.strip())]


class Crate:
    def __init__(self, source):
        self.text, self.file, self.reexports, self.imports = {}, {}, {}, {}
        for path in sorted(source.rglob("*.rs")):
            parts = list(path.relative_to(source).with_suffix("").parts)
            if parts[0] in ("main", "bin"):
                continue
            if parts[-1] in ("mod", "lib"):
                parts.pop()
            module = tuple(parts)
            text = TESTS.sub("", STRING.sub('""', COMMENT.sub("", path.read_text())))
            self.text[module], self.file[module] = text, path
        for module, text in self.text.items():
            exported, used = {}, []
            for public, tree in USE.findall(text):
                for leaf in leaves(tree):
                    path = self.absolute(module, leaf)
                    if path is None:
                        continue
                    if public:
                        exported[path[-1]] = path
                    own_child = public and path[: len(module)] == module and len(path) > len(module) + 1
                    if not own_child:
                        used.append(path)
            self.reexports[module], self.imports[module] = exported, used

    def absolute(self, module, path):
        """A path from the crate's root, or None if it leaves the crate."""
        parts = path.strip().removeprefix("::").split("::")
        if parts[0] == "crate":
            return tuple(parts[1:])
        base = list(module)
        if parts[0] == "self":
            return (*base, *parts[1:])
        if parts[0] == "super":
            while parts and parts[0] == "super":
                if not base:
                    return None
                base.pop()
                parts.pop(0)
            return (*base, *parts)
        return (*module, *parts) if (*module, parts[0]) in self.text else None

    def home(self, path, seen=()):
        """The module that defines what a path names."""
        module = path
        while module not in self.text:
            module = module[:-1]
        if len(module) < len(path):
            target = self.reexports[module].get(path[len(module)])
            if target and target not in seen:
                return self.home((*target, *path[len(module) + 1 :]), (*seen, target))
        return module

    def edges(self, module):
        body = USE.sub("", self.text[module])
        paths = list(self.imports[module])
        paths += [self.absolute(module, path) for path in PATH.findall(body)]
        children = [child[-1] for child in self.text if child[:-1] == module and child]
        for child in children:
            paths += [(*module, child, name) for name in re.findall(rf"(?<![\w:]){child}::(\w+)", body)]
        return {self.home(path) for path in paths if path} - {module}

    def circles(self):
        graph = {module: self.edges(module) for module in self.text}
        reach = {}
        for start in graph:
            found, todo = set(), list(graph[start])
            while todo:
                one = todo.pop()
                if one not in found:
                    found.add(one)
                    todo += graph[one]
            reach[start] = found
        groups = {frozenset(b for b in graph if b in reach[a] and a in reach[b]) for a in graph if a in reach[a]}
        return sorted(" ".join(sorted(str(self.file[module]) for module in group)) for group in groups)


found = [circle for source in sorted(Path("crates").glob("*/src")) for circle in Crate(source).circles()]
for circle in found:
    print(f"import circle: {circle}")
sys.exit(1 if found else 0)
