"""Compiled programs on disk: where, for which processor, how many; and no fault of a disk is an error."""

import os
import re
import warnings
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from asae_jax import cli
from asae_jax.run import compile_cache

_OPTIONS = (
    "jax_compilation_cache_dir",
    "jax_enable_compilation_cache",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """JAX without a cache, in a home of its own, as a command starts; the folder that it would use."""
    before = {name: getattr(jax.config, name) for name in _OPTIONS}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.platform", "linux")
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    with warnings.catch_warnings():
        yield tmp_path / "home" / "asae-jax" / "compiled" / compile_cache.processor()
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def _compile():
    """A program that JAX compiles or reads, whatever it has compiled before."""

    def program_of_this_test(x):
        return 3 * x + 1

    return float(jax.jit(program_of_this_test)(2.0))


def _entries(folder):
    return sorted(folder.glob("jit_program_of_this_test-*"))


def test_small_programs_are_kept_in_the_users_cache_folder(no_cache):
    compile_cache.switch_on()
    assert _compile() == 7
    assert len(_entries(no_cache)) == 1
    assert no_cache.stat().st_mode & 0o077 == 0


def test_a_folder_that_others_can_write_to_is_not_used(no_cache):
    no_cache.mkdir(parents=True)
    no_cache.chmod(0o777)
    compile_cache.switch_on()
    assert jax.config.jax_compilation_cache_dir is None


def test_a_cut_entry_is_compiled_again_and_replaced_without_a_word(no_cache, monkeypatch):
    said = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: said.append(str(message)))
    warnings.simplefilter("default")
    compile_cache.switch_on()
    _compile()
    [entry] = _entries(no_cache)
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    assert _compile() == 7
    assert len(entry.read_bytes()) > len(whole) // 2
    warnings.warn("something else", stacklevel=1)
    assert said == ["something else"]


def test_jax_own_choice_is_left_alone(no_cache, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    compile_cache.switch_on()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    compile_cache.switch_on()
    assert jax.config.jax_compilation_cache_dir is None
    assert not no_cache.exists()


def command_of_this_test(config, workdir):
    return int(not jax.config.jax_compilation_cache_dir)


def test_commands_switch_it_on(no_cache, monkeypatch):
    stand_in = cli.COMMANDS["cut"]._replace(function=f"{__name__}:command_of_this_test")
    monkeypatch.setitem(cli.COMMANDS, "cut", stand_in)
    assert cli.main(["cut"]) == 0


def test_several_hosts_keep_nothing(no_cache, monkeypatch):
    monkeypatch.setattr(compile_cache.hosts, "count", lambda: 2)
    compile_cache.switch_on()
    assert jax.config.jax_compilation_cache_dir is None


def test_without_a_folder_to_write_to_nothing_is_kept(no_cache, tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file where a folder should be")
    compile_cache.switch_on()
    assert jax.config.jax_compilation_cache_dir is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", classmethod(lambda _: (_ for _ in ()).throw(RuntimeError("no home"))))
    compile_cache.switch_on()
    assert jax.config.jax_compilation_cache_dir is None


def test_processors_of_other_features_have_folders_of_their_own(tmp_path):
    def of(flags, mhz="2000", more=""):
        file = tmp_path / "cpuinfo"
        first = f"processor\t: 0\nmodel name\t: Any\ncpu MHz\t\t: {mhz}\nflags\t\t: {flags}\n\n"
        file.write_text(first + more)
        return compile_cache.processor(file)

    assert of("sse avx avx2") == of("sse avx avx2", mhz="2100") == of("sse avx avx2", more="flags\t: sse\n")
    assert of("sse avx avx2") != of("sse avx avx2 avx512f")
    assert re.fullmatch("[0-9a-f]{12}", compile_cache.processor(tmp_path / "none"))
    assert compile_cache.processor(tmp_path / "none") not in (of("sse avx avx2"), of("sse"))


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    for number, name in enumerate(("c", "a", "b", "d")):
        file = tmp_path / name / "entry"
        file.parent.mkdir()
        file.write_bytes(bytes(100))
        os.utime(file, (1000 + number, 500))
    compile_cache.shrink(tmp_path, 400)
    assert len([*tmp_path.rglob("entry")]) == 4
    compile_cache.shrink(tmp_path, 399)
    assert sorted(file.parent.name for file in tmp_path.rglob("entry")) == ["d"]
