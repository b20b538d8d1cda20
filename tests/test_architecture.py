"""The shape of the project: who may import what, how long things may be, which words are ours.

Each check is a function of source text that returns what it finds, so that the tests can also show
that it finds something.
"""

import ast
import fnmatch
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ledger", "consensus", "fednode")


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What neither touches the machine nor differs between two runs. No clock, randomness, network,
# disk, threads or logging.
PURE = words(
    "__future__ abc base64 binascii bisect collections contextlib copy dataclasses enum fractions "
    "functools hashlib heapq hmac itertools json math operator re string struct types typing"
)
STORAGE = words("errno fcntl json logging os pathlib shutil sqlite3 stat tempfile")
LEDGER_IO = {
    "ledger/store.py": STORAGE,
    "ledger/database.py": STORAGE,
    "ledger/blobs.py": STORAGE,
    "ledger/lock.py": STORAGE,
    "ledger/__main__.py": words("argparse json pathlib sys"),
}
IMPURE_LEDGER = tuple(path.removesuffix(".py").replace("/", ".") for path in LEDGER_IO)
# The distribution's name where the module's differs.
MODULE_OF = {
    "pynacl": "nacl",
    "scikit-learn": "sklearn",
    "typing-extensions": "typing_extensions",
    "dp-accounting": "dp_accounting",
}

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

TOP_LEVEL = words(
    "fednode ledger consensus scripts tests docs .ci pyproject.toml README.md CHANGELOG.md "
    "CONTRIBUTING.md LICENSE .gitignore .git"
)

# The table of words in README: each idea has one name, and these are other people's names for it.
FOREIGN_WORDS = words(
    "client clients coordinator epoch inventory leader leaders polka precommit prevote replica "
    "replicas round rounds stake term"
)
OWN_PHRASES = ("training_round", "local_epoch", "membership_epoch")


def sources(*folders: str) -> list[tuple[str, str]]:
    """All Python files below the folders as (path from the root, text)."""
    return [
        (path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def imports_of(text: str) -> Iterator[tuple[int, str]]:
    """Each imported module as (line, dotted name); `from a import b` yields a and a.b."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield node.lineno, module
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Name) and node.id == "__import__":
            yield node.lineno, "__import__"


def is_within(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def forbidden_in_ledger(path: str, text: str) -> list[str]:
    allowed = PURE | LEDGER_IO.get(path, frozenset()) | {"ledger", "msgpack", "nacl"}
    may_import_io = path in LEDGER_IO
    return [
        f"{path}:{line} imports {name}"
        for line, name in imports_of(text)
        if name.partition(".")[0] not in allowed
        or (is_within(name, IMPURE_LEDGER) and not may_import_io)
    ]


def forbidden_in_consensus(path: str, text: str) -> list[str]:
    allowed = PURE | {"consensus", "ledger"}
    return [
        f"{path}:{line} imports {name}"
        for line, name in imports_of(text)
        if name.partition(".")[0] not in allowed or is_within(name, IMPURE_LEDGER)
    ]


def forbidden_in_fednode(path: str, text: str) -> list[str]:
    """Needs of an extra may only be imported inside functions; the core's anywhere."""
    core, optional = declared_modules()
    deferred = deferred_lines(text)
    known = sys.stdlib_module_names | core | set(PACKAGES)
    found = []
    for line, name in imports_of(text):
        module = name.partition(".")[0]
        if module in {"aiomqtt", "paho"}:
            is_allowed = fnmatch.fnmatch(path, "fednode/transport/*.py")
        else:
            is_allowed = module in known or (module in optional and line in deferred)
        if not is_allowed:
            found.append(f"{path}:{line} imports {name}")
    return found


def deferred_lines(text: str) -> set[int]:
    """Lines that do not run when the module is imported: in functions or for type checkers."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            lines.update(range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1))
    return lines


def declared_modules() -> tuple[frozenset[str], frozenset[str]]:
    """Modules of the core dependencies and of the extras, as pyproject.toml declares them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def modules(requirements: list[str]) -> frozenset[str]:
        names = [re.split(r"[<>=!~\[; ]", text, maxsplit=1)[0].lower() for text in requirements]
        return frozenset(MODULE_OF.get(name, name) for name in names)

    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    return modules(project["dependencies"]), modules(extras)


def too_long(path: str, text: str) -> list[str]:
    found = []
    module_lines = len(text.splitlines())
    if module_lines > MODULE_LINES_MAX:
        found.append(f"{path}: {module_lines} lines, at most {MODULE_LINES_MAX}")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                found.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
    return found


def identifiers_of(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.value.lineno, node.arg


def foreign_words(path: str, text: str) -> list[str]:
    """Identifiers that use another protocol's word, and prose that says "round" of a view."""
    found = []
    for line, name in identifiers_of(text):
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        for phrase in OWN_PHRASES:
            snake = snake.replace(phrase, "")
        words = FOREIGN_WORDS.intersection(snake.split("_"))
        found += [f"{path}:{line} {name} says {word}" for word in sorted(words)]
    for line, content in enumerate(text.splitlines(), start=1):
        if re.search(r"(?i)(?<!training[ _])(?<!training-)\bround\b(?![ -]trip)", content):
            found.append(f"{path}:{line} says round")
    return found


def strangers_at_top(names: list[str], ignored: list[str]) -> list[str]:
    return sorted(
        name
        for name in names
        if name not in TOP_LEVEL and not any(fnmatch.fnmatch(name, item) for item in ignored)
    )


def test_ledger_imports_only_pure_modules_msgpack_and_nacl() -> None:
    found = [item for source in sources("ledger") for item in forbidden_in_ledger(*source)]

    assert found == []


def test_consensus_imports_only_pure_modules_and_the_pure_part_of_ledger() -> None:
    found = [item for source in sources("consensus") for item in forbidden_in_consensus(*source)]

    assert found == []


def test_fednode_imports_what_it_declares_and_extras_only_when_used() -> None:
    found = [item for source in sources("fednode") for item in forbidden_in_fednode(*source)]

    assert found == []


def test_no_module_and_no_function_is_too_long() -> None:
    found = [
        item for source in sources(*PACKAGES, "scripts", "tests") for item in too_long(*source)
    ]

    assert found == []


def test_ledger_and_consensus_say_height_and_view() -> None:
    found = [item for source in sources("ledger", "consensus") for item in foreign_words(*source)]

    assert found == []


def test_top_level_holds_only_what_the_architecture_names() -> None:
    text = (ROOT / ".gitignore").read_text(encoding="utf-8")
    ignored = [line.rstrip("/") for line in text.splitlines() if line and line[0] != "#"]

    found = strangers_at_top([path.name for path in ROOT.iterdir()], ignored)

    assert found == []


def test_mypy_checks_every_folder_that_holds_python() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {PurePosixPath(path).parts[0] for path, _ in sources(*PACKAGES, "scripts", "tests")}

    assert folders - set(config["tool"]["mypy"]["files"]) == set()


def test_every_package_of_tests_is_a_package() -> None:
    """Without `__init__.py`, `tests/consensus` would shadow the real package."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}

    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_checks_find_a_wrong_import() -> None:
    upward = "from consensus import engine\nimport numpy\nfrom . import keys\n"
    store = "from ledger import store\nimport sqlite3\n"
    lazy = "import sklearn\ndef fit() -> None:\n    import sklearn\n    import click\n"
    for_types = "if TYPE_CHECKING:\n    import sklearn\n"

    assert len(forbidden_in_ledger("ledger/audit.py", upward)) == 5
    assert forbidden_in_ledger("ledger/store.py", store) == []
    assert forbidden_in_ledger("ledger/audit.py", store) == [
        "ledger/audit.py:1 imports ledger.store",
        "ledger/audit.py:2 imports sqlite3",
    ]
    assert forbidden_in_consensus("consensus/votes.py", "import time\nfrom ledger.keys import a\n")
    assert forbidden_in_fednode("fednode/node.py", lazy) == [
        "fednode/node.py:1 imports sklearn",
        "fednode/node.py:4 imports click",
    ]
    assert forbidden_in_fednode("fednode/node.py", for_types) == []
    assert forbidden_in_fednode("fednode/node.py", "import aiomqtt\n")
    assert forbidden_in_fednode("fednode/transport/mqtt.py", "import aiomqtt\n") == []


def test_checks_find_what_is_too_long() -> None:
    function = "def act() -> None:\n" + "    pass\n" * FUNCTION_LINES_MAX

    assert too_long("a.py", function) == ["a.py:1 act: 61 lines"]
    assert too_long("a.py", "pass\n" * 401) == ["a.py: 401 lines, at most 400"]
    assert too_long("a.py", "pass\n" * 400) == []


def test_checks_find_a_foreign_word() -> None:
    own = 'training_round = 1\nlocal_epochs = 2\nnote = "a round trip of a training round"\n'

    assert foreign_words("a.py", own) == []
    assert foreign_words("a.py", "class LeaderSchedule: ...\n") == [
        "a.py:1 LeaderSchedule says leader"
    ]
    assert foreign_words("a.py", "# the first round\n") == ["a.py:1 says round"]
    assert foreign_words("a.py", "vote(epoch=1)\n") == ["a.py:1 epoch says epoch"]


def test_checks_find_a_stranger_at_the_top() -> None:
    names = ["ledger", "notes.txt", ".venv", "fednode.egg-info"]

    assert strangers_at_top(names, [".venv", "*.egg-info"]) == ["notes.txt"]
