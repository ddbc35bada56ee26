"""What a machine can hold of the project's language: README, pages, docstrings and messages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtf_rl.core.tasks import KUAIRAND_TASKS
from mtf_rl.evaluation import leaderboard_columns
from tests.docs.pages import (
    ROOT,
    first_cells,
    glossary_names,
    links_of,
    matches_any,
    prose_lines,
    slugs_of,
    without_code,
)

README = ROOT / "README.md"
GLOSSARY = ROOT / "docs" / "glossary.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
RESULTS = sorted((ROOT / "benchmarks").glob("*.md"))  # written by scripts: tables, and long
PAGES = [README, *DOCS, *RESULTS]
PACKAGE = sorted((ROOT / "mtf_rl").rglob("*.py"))

LEADING_DOT = re.compile(r"(?<![\w.`/*\\])\.\d+\b")
_WORDS = (
    "luck",
    "lucky",
    "twins?",
    "whom",
    "he(?! et al)",
    "his",
    "told from",
    "judg(?:e|es|ed|ing)",
)
FORBIDDEN = re.compile(rf"{LEADING_DOT.pattern}|\b(?:{'|'.join(_WORDS)})\b", re.IGNORECASE)

# The words that have one meaning here, each a row of the glossary.
TERMS = [
    "action", "action map", "agent", "base rate", "batch dataset", "behaviour policy",
    "best static weights", "budget", "candidates", "common random numbers", "contestant",
    "density ratio", "depth", "evaluator", "fraction", "fusion", "fusion formula", "fusion weights",
    "initial points", "latent response", "learner", "myopic baseline", "observation",
    "off-policy evaluation", "per-request weights", "policy", "pool", "production", "profile",
    "replay", "request", "reward", "scorer", "score table", "search", "session", "session reward",
    "simulator", "slate", "static mean", "static weights", "std", "synthetic world", "task",
    "user model", "wrapper", "`action_dim`", "`action_flexibility`", "`alpha_threshold`",
    "`conservative_weight`", "`EpisodeRng`", "`FusionConfig`", "`gamma`", "`ground_truth`",
    "`n_action_samples`", "`OPEInputs`", "`ResponsePrediction`", "`reward_weighted`", "`TaskSet`",
]  # fmt: skip
TERM_TABLES = (
    "## Requests and users",
    "## Predictions and fusion",
    "## Policies and learning",
    "## Evaluation",
    "## Off-policy evaluation",
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Docstrings, messages and help texts of a module: its strings of several words."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_decimals_have_a_digit_before_the_dot(page: Path) -> None:
    found = [
        f"{name_of(page)}:{number}: {line.strip()}"
        for number, line in without_code(page.read_text())
        if LEADING_DOT.search(re.sub(r"`[^`]*`|https?://\S+", "", line))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_prose_wraps_at_100_columns(page: Path) -> None:
    found = [
        f"{name_of(page)}:{number}: {len(line)} characters"
        for number, line in prose_lines(page.read_text())
        if len(line) > 100
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", [page for page in DOCS if page != GLOSSARY], ids=name_of)
def test_a_page_is_not_two(page: Path) -> None:
    """The glossary is looked up, not read, so that it may be longer."""
    assert len(page.read_text().split()) <= 1_200


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= 900


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_within_the_repository_resolve(page: Path) -> None:
    text = page.read_text()
    for link in links_of(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in slugs_of(target.read_text()), f"{name_of(page)} links to {link}"


def test_the_glossary_has_every_term_once() -> None:
    text = GLOSSARY.read_text()
    rows = [cell for heading in TERM_TABLES for cell in first_cells(text, heading)]
    names = [name for cell in rows for name in cell.split(", ")]
    assert not set(TERMS) - set(names)
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_the_glossary_has_every_column_of_a_leaderboard() -> None:
    explained = glossary_names(GLOSSARY.read_text(), "## Leaderboard columns")
    columns = leaderboard_columns(KUAIRAND_TASKS.names)
    assert [name for name in columns if not matches_any(name, explained)] == []


def metrics_in_code() -> Iterator[tuple[str, str]]:
    """Names that the package passes to a metric writer or logger; <...> for what varies."""
    writers = {"metrics", "report", "record", "record_mean", "add_scalar"}
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            for argument in node.args[:2] if name in writers else ():
                text = _spelled(argument)
                # Of a name that varies from its first part on, the run's own test sees the whole.
                if re.match(r"[a-z]+/(?!<[^>]+>$)", text):
                    yield name_of(path), text


def _spelled(node: ast.expr) -> str:
    """A string, or an f-string with <...> for its expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"<{ast.unparse(part)}>"
            for part in node.values
        )
    return ""


def test_the_glossary_has_every_metric_that_the_code_names() -> None:
    explained = glossary_names(GLOSSARY.read_text(), "## Metrics")
    named = list(metrics_in_code())
    assert len(named) > 30
    missing = [(path, name) for path, name in named if not matches_any(name, explained)]
    assert missing == []


def test_the_page_of_metrics_names_none_that_the_glossary_lacks() -> None:
    explained = glossary_names(GLOSSARY.read_text(), "## Metrics")
    text = (ROOT / "docs" / "metrics.md").read_text()
    named = re.findall(r"^\| `([^`]+)`", text, flags=re.MULTILINE)
    assert named
    assert [name for name in named if not matches_any(name, explained)] == []


@pytest.mark.parametrize("module", PACKAGE, ids=name_of)
def test_texts_of_the_package_use_plain_words(module: Path) -> None:
    found = [
        f"{name_of(module)}:{number}: {hit.group()!r} in {text[max(hit.start() - 40, 0) :][:90]!r}"
        for number, text in texts_of(module)
        if (hit := FORBIDDEN.search(text))
    ]
    assert not found, "\n".join(found)
