"""What README, CONTRIBUTING, CHANGELOG and the pages of docs/ show must exist and work."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

import asae_jax
from asae_jax import shipped
from asae_jax.cli import COMMANDS, parse
from asae_jax.config import BY_NAME
from asae_jax.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / name for name in ("data/README.md", "benchmarks/README.md")),
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
README = PAGES["README.md"]
FOLDERS = r"(?:\.ci|asae_jax|benchmarks|configs|data|docs|results|tests)"
PACKAGES = r"(?:run|evaluation|training|inference|input|models)"


def _commands(text):
    """Every shell command of a page as a list of words; backslashes join lines."""
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.split(" && "):
                if words := shlex.split(command, comments=True):
                    yield words
    yield from (shlex.split(code) for code in re.findall(r"`(asae [^`]+)`", text))


def _calls(text):
    """Arguments of every call of the command line on a page."""
    for words in _commands(text):
        if words[0] == "asae":
            yield words[1:]
        elif "main.py" in words:
            yield words[words.index("main.py") + 1 :]


CALLS = [(page, call) for page, text in PAGES.items() for call in _calls(text)]


def test_the_library_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict = {}
    exec(example, names)
    assert names["logits"].shape == (2, 2, 14)
    assert names["losses"].shape == (2,)


def test_the_readme_s_set_up_commands_are_these():
    venv = "python3 -m venv .venv && .venv/bin/pip install -r "
    assert f"{venv}requirements.txt && .venv/bin/python main.py --config=configs/quickstart.py\n" in README
    assert f"{venv}requirements-dev.txt && .venv/bin/python -m pytest\n" in README
    for name in ("requirements.txt", "requirements-dev.txt", "configs/quickstart.py"):
        assert (ROOT / name).exists()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page):
    text, folder = PAGES[page], (ROOT / page).parent
    paths = {ROOT / path for path in re.findall(rf"(?<![\w/.])({FOLDERS}/[\w./-]*\w/?)", text)}
    paths |= {ROOT / "asae_jax" / path for path in re.findall(rf"`({PACKAGES}/\w+\.py)`", text)}
    paths |= {folder / path for path in re.findall(r'src="([^"]+)"', text)}
    paths |= {folder / path for path in re.findall(r"\]\((?!https?:)([^)#\s]+)", text)}
    assert not sorted(str(path) for path in paths if not path.exists())


def test_the_index_of_benchmarks_names_each():
    there = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    there |= {path.parent.name for path in (ROOT / "benchmarks").glob("*/__init__.py")}
    assert set(re.findall(r"`(\w+)/?`", PAGES["benchmarks/README.md"])) == there


def test_pages_name_files_and_commands_at_all():
    assert len(CALLS) > 15
    assert {call[0] for _, call in CALLS if call and call[0] in COMMANDS} >= {
        "audit", "evaluate", "predict", "explain", "export", "reproduce",
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_a_page_names_exists(page):
    names = set(re.findall(r"--config\.([a-z_]+(?:\.[a-z_0-9]+)?)(?==|`|\s)", PAGES[page]))
    assert not sorted(names - set(BY_NAME) - {"section.field"})


@pytest.mark.parametrize(
    ("page", "call"), CALLS, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_every_command_that_a_page_shows_exists(page, call):
    named = bool(call) and not call[0].startswith("-")
    name = call[0] if named else "train"
    if name == "COMMAND":
        return
    assert name in COMMANDS or name == "list"
    for option in call[named:]:
        name_of_option, _, value = option.partition("=")
        if name_of_option == "--config":
            of_a_run = value.startswith("runs/") and value.endswith("/config.json")
            assert of_a_run or (ROOT / value).is_file() or value in shipped.recipes(), value
        elif name_of_option == "--model":
            assert value in shipped.models() or value.isupper() or "/" in value, value
        elif name_of_option not in ("--workdir", "--help"):
            command, bare = COMMANDS[name], name_of_option.removeprefix("--")
            known = {f"config.{field}" for field in BY_NAME}
            known |= {f.rpartition(".")[2] for f in BY_NAME if f.startswith(f"{command.section}.")}
            known |= {field.rpartition(".")[2] for field in command.short}
            assert bare in known, f"{page}: {option}"


@pytest.mark.parametrize(
    ("page", "call"),
    [(page, call) for page, call in CALLS if len(call) > 1 and call[0] not in ("COMMAND", "list")],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),
)
def test_every_command_with_options_is_understood(page, call):
    """But for runs and models that only a reader has."""
    if page == "docs/settings.md":  # shows two ways to write one option
        call = [*call, "--model=blood11"]
    try:
        parse(call)
        said = ""
    except UserError as error:
        said = str(error)
    missing = r"no run in (runs|rounds)/|no model 'NAME'|configuration file not found: runs/"
    assert not said or re.match(missing, said)


def test_the_settings_page_is_what_the_field_table_gives():
    wanted = runpy.run_path(str(ROOT / "docs" / "settings_page.py"))["settings_page"]()
    page = PAGES["docs/settings.md"]
    assert page == wanted, "run `python docs/settings_page.py`"
    assert [name for name in BY_NAME if f"| `{name}` |" not in page] == []


def test_the_citation_and_the_changelog_know_the_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {asae_jax.__version__}\n" in citation
    assert f"\n## {asae_jax.__version__}\n" in PAGES["CHANGELOG.md"]
