"""The launcher finds the right program, hands it everything unchanged, and gets out of the way."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lightllm.launch import BinaryNotFound, find_binary  # noqa: E402

# Says how it was called; with --wait it then sleeps until SIGTERM, and with --code ends with that code.
PROGRAM = """#!{python}
import json, os, signal, sys, time
print(json.dumps([os.getpid(), sys.argv[1:]]), flush=True)
if "--wait" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: (print("stopped", flush=True), os._exit(7)))
    print("INFO:     Uvicorn running on http://127.0.0.1:1 (Press CTRL+C to quit)", flush=True)
    time.sleep(60)
sys.exit(int(sys.argv[sys.argv.index("--code") + 1]) if "--code" in sys.argv else 0)
"""


def write_program(path, text=PROGRAM.format(python=sys.executable)):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class LaunchTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *arguments, binary=None, module="lightllm.server.api_server"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment["LIGHTLLM_BINARY"] = str(binary or write_program(self.folder / "program"))
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # Tests that a shell has put into the background ignore it, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_arguments_pass_unchanged_after_serve(self):
        given = ["--model_dir", "/a b", "--eos_id", "1", "2", "--port=8080", "--x", "", "ä\n"]
        output, _ = self.start(*given).communicate(timeout=20)
        self.assertEqual(json.loads(output)[1], ["serve", *given])

    def test_exit_code_is_the_programs(self):
        process = self.start("--code", "3")
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 3)

    def test_the_process_becomes_the_program_and_gets_its_signals(self):
        process = self.start("--wait")
        self.assertEqual(json.loads(process.stdout.readline())[0], process.pid)
        # The readiness line comes through at once, though standard output is a pipe.
        self.assertIn("Uvicorn running on", process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.stdout.readline(), "stopped\n")
        self.assertEqual(process.wait(timeout=20), 7)

    def test_interrupt_ends_the_program(self):
        process = self.start("--wait")
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        self.assertNotEqual(process.wait(timeout=20), 0)

    def test_missing_program_is_a_clear_error(self):
        process = self.start(binary=self.folder / "nothing")
        output, errors = process.communicate(timeout=20)
        self.assertEqual((process.returncode, output), (127, ""))
        self.assertIn("LIGHTLLM_BINARY must name an executable file", errors)
        self.assertNotIn("Traceback", errors)

    def test_a_program_of_another_machine_is_a_clear_error(self):
        process = self.start(binary=write_program(self.folder / "program", "\x7fELF?"))
        _, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 126)
        self.assertIn("cannot be run", errors)

    def test_console_script_passes_any_command(self):
        program = write_program(self.folder / "program")
        process = subprocess.run(
            [sys.executable, "-c", "from lightllm.launch import main; main()", "plan", "--model_dir", "x"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "LIGHTLLM_BINARY": str(program)},
            capture_output=True, text=True, timeout=20)
        self.assertEqual(json.loads(process.stdout)[1], ["plan", "--model_dir", "x"])


class SearchTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.package = self.folder / "python" / "lightllm"
        self.package.mkdir(parents=True)

    def find(self, **environment):
        return find_binary(self.package, {"PATH": str(self.folder / "bin"), **environment})

    def test_order(self):
        on_path = write_program(self.folder / "bin" / "lightllm")
        self.assertEqual(self.find(), on_path)
        built = write_program(self.folder / ".build" / "release" / "lightllm")
        self.assertEqual(self.find(), on_path, "a folder without Package.swift is no checkout")
        (self.folder / "Package.swift").touch()
        self.assertEqual(self.find(), built)
        shipped = write_program(self.package / "bin" / "lightllm")
        self.assertEqual(self.find(), shipped)
        chosen = write_program(self.folder / "chosen")
        self.assertEqual(self.find(LIGHTLLM_BINARY=str(chosen)), chosen)

    def test_never_finds_itself(self):
        write_program(
            self.folder / "bin" / "lightllm",
            "#!/usr/bin/python3\nimport sys\nfrom lightllm.launch import main\nsys.exit(main())\n")
        with self.assertRaises(BinaryNotFound):
            self.find()
        other = write_program(self.folder / "other" / "lightllm")
        path = os.pathsep.join(str(self.folder / name) for name in ("bin", "other"))
        self.assertEqual(self.find(PATH=path), other)

    def test_files_that_cannot_run_are_passed_over(self):
        write_program(self.folder / "bin" / "lightllm").chmod(0o644)
        with self.assertRaises(BinaryNotFound) as caught:
            self.find()
        self.assertIn(str(self.folder / "bin" / "lightllm"), str(caught.exception))

    def test_a_wrong_choice_is_not_replaced_by_another_program(self):
        write_program(self.folder / "bin" / "lightllm")
        with self.assertRaises(BinaryNotFound):
            self.find(LIGHTLLM_BINARY=str(self.folder / "nothing"))


if __name__ == "__main__":
    unittest.main()
