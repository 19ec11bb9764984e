"""A fake kwokctl, which writes the same files and starts a sleeping process per component.

The file `plan.json` beside the program defines failures:
{"fail": message} fails the command once.
{"die": {component: [output, ...]}} ends a component at once, one time per output.
{"hang": true} keeps the program running.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok-controller")
arguments = dict(arg.removeprefix("--").split("=", 1) for arg in sys.argv[1:] if arg.startswith("--"))
cluster = Path(os.environ["KWOK_WORKDIR"], "clusters", arguments["name"])
plan_file = Path(sys.argv[0]).with_name("plan.json")
plan = json.loads(plan_file.read_text()) if plan_file.exists() else {}


def alive(pid):
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def start(component):
    pid_file = cluster / "pids" / f"{component}.pid"
    if pid_file.exists() and alive(pid_file.read_text()):
        return
    outputs = plan.get("die", {}).get(component)
    if outputs:
        with (cluster / "logs" / f"{component}.log").open("a") as log:
            log.write(outputs.pop(0) + "\n")
        return
    command = [str(cluster / "bin" / component), "-c", "import time; time.sleep(300)"]
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        command, executable=sys.executable, stdin=null, stdout=null, stderr=null, start_new_session=True
    )
    pid_file.write_text(str(process.pid))


if "fail" in plan:
    message = plan.pop("fail")
    plan_file.write_text(json.dumps(plan))
    sys.exit(message)
if sys.argv[1] == "create":
    for directory in ("pids", "logs", "bin", "pki"):
        (cluster / directory).mkdir(parents=True)
    (cluster / "kwok.yaml").write_text(Path(arguments["config"]).read_text())
    for file in ("ca.crt", "admin.crt", "admin.key"):
        (cluster / "pki" / file).write_text(file)
if sys.argv[1] in ("create", "start"):
    for name in COMPONENTS:
        start(name)
    plan_file.write_text(json.dumps(plan))
while plan.get("hang"):
    time.sleep(1)
