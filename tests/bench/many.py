#!/usr/bin/env python3
"""Measures what many leases cost a pair: start, memory, a new lease in a pool that is 99 % full, a full copy under load.

    cargo build --release --bin standfast
    sudo tests/bench/many.py --leases 1000000 --alone
    sudo tests/bench/many.py --leases 100000

The leases are imported at the active node. The full copy is that of a node which comes back with an empty store while its
partner answers 300 clients a second.
"""
import argparse, json, os, pathlib, shutil, socket, subprocess, tempfile, time
import run

run.NS = "sfmany-"
FIRST = 0x0A400100  # 10.64.1.0


def address(number):
    return socket.inet_ntoa((FIRST + number).to_bytes(4, "big"))


def beside(count):
    """Addresses for the clients of the loads: what they need, and a hundredth of the rest."""
    return max(count // 100, 10_500)


def leases_file(path, count):
    """A lease file as Kea has it, of clients that no load simulates, with the last addresses of the pool."""
    ends = int(time.time()) + 86_400
    with open(path, "w") as file:
        file.write("address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n")
        for number in range(count):
            hardware = ":".join(f"{byte:02x}" for byte in (0x0A000000_0000 + number).to_bytes(6, "big"))
            file.write(f"{address(beside(count) + number)},{hardware},,86400,{ends},1,0,0,host-{number},0,\n")


class OneByOne:
    """Nodes that are started one by one, and are new only at first."""
    new = True

    def command(self, node):
        words, environment = super().command(node)
        return words if self.new else words[:-1], environment

    def boot(self, node):
        """Starts one node; the seconds until it answers operators, which it does once it has read its store."""
        started = time.time()
        command, environment = self.command(node)
        log = open(self.dir(node) / "log", "ab")
        self.running[node] = subprocess.Popen(["ip", "netns", "exec", run.NS + node, *map(str, command)], stdin=subprocess.DEVNULL,
                                              stdout=log, stderr=log, env={**os.environ, **environment}, start_new_session=True)
        path = str(self.dir(node) / "data/admin.sock")
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(path)
                return time.time() - started
            except OSError:
                if self.running[node].poll() is not None:
                    raise RuntimeError(f"node {node} has ended; see {self.dir(node)}/log")
                time.sleep(0.01)

    def kill(self, node):
        process = self.running.pop(node)
        process.kill()
        process.wait()
        (self.dir(node) / "data/admin.sock").unlink(missing_ok=True)

    def ask(self, node, *words):
        command = [run.BINARY, *map(str, words), "--data-dir", str(self.dir(node) / "data")]
        return subprocess.run(command, capture_output=True, text=True)

    def status(self, node):
        return json.loads(self.ask(node, "status", "--json").stdout or "{}")

    def wait_until(self, node, what, patience):
        """The seconds until the status of a node says so."""
        started = time.time()
        while not what(self.status(node)):
            if time.time() - started > patience:
                raise RuntimeError(f"node {node} is not there after {patience} s: {self.status(node)}")
            time.sleep(0.02)
        return time.time() - started


class Alone(OneByOne, run.Standfast):
    pass


class Pair(OneByOne, run.StandfastPair):
    pass


def in_step(status):
    """Alone, or in normal and with nothing left for the partner to take."""
    if not status:
        return False
    return all(pair["state"] == "normal" and pair["partner"]["lag_records"] == 0 for pair in status["relationships"])


def bring(server, file):
    """Imports a file; the seconds until the command says that every node has all of it, and how many leases there are then."""
    started = time.time()
    done = server.ask("a", "leases", "import", file)
    if done.returncode:
        raise RuntimeError(done.stderr[:2_000])
    return time.time() - started, server.status("a")["scopes"][0]["bound"]


def one_at_a_time(pair, first_client):
    """Median milliseconds and processor time in microseconds of a new lease."""
    before = pair.cpu()
    figures = run.load(pair, first_client, outstanding=1, count=2_000, duration="60s", give_up="1s")
    return figures["exchange"]["p50"], (pair.cpu() - before) / figures["completed"] * 1e6


def steady(pair, first_client, seconds):
    command = run.load_command(pair, first_client, rate=300, duration=f"{seconds}s", give_up="5s")
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def ended(load):
    return json.loads(load.communicate()[0])


def show(what, value):
    print(f"{what}: {value}", flush=True)


def measure(server, count, scratch):
    server.start()
    server.new = False
    run.load(server, 0, count=500, give_up="1s")
    latency, cpu = one_at_a_time(server, 10_000)
    show("a new lease, one at a time, pool empty", f"p50 {latency:.2f} ms, {cpu:.0f} µs of processor time")
    leases_file(scratch / "leases.csv", count)
    took, bound = bring(server, scratch / "leases.csv")
    show("import", f"{took:.1f} s until every node has all; {bound} leases")
    show("resident, MiB", ", ".join(f"{size / 2**20:.0f}" for size in server.memory()))
    show("stored, MiB", ", ".join(f"{size / 2**20:.0f}" for size in server.disk()))
    latency, cpu = one_at_a_time(server, 20_000)
    show("a new lease, one at a time, pool 99 % full", f"p50 {latency:.2f} ms, {cpu:.0f} µs of processor time")
    for node in reversed(server.nodes):
        server.kill(node)
        took = server.boot(node)
        resident = pathlib.Path(f"/proc/{server.running[node].pid}/statm").read_text().split()[1]
        show(f"start of node {node}", f"{took:.2f} s, then {int(resident) * os.sysconf('SC_PAGE_SIZE') / 2**20:.0f} MiB resident")
        server.wait_until(node, in_step, 120)


def measure_copy(pair):
    for node in "ab":
        pair.wait_until(node, in_step, 120)
    active = pair.status("a")["relationships"][0]["active_node"]
    other = "b" if active == "a" else "a"
    quiet = ended(steady(pair, 40_000, 6))
    pair.kill(other)
    shutil.rmtree(pair.dir(other) / "data")
    pair.wait_until(active, lambda status: status["relationships"][0]["state"] == "communications-interrupted", 30)
    load = steady(pair, 50_000, 10)
    time.sleep(2)
    started = time.time()
    pair.boot(other)
    pair.wait_until(other, lambda status: (status.get("relationships") or [{}])[0].get("state") == "normal", 120)
    copied = time.time() - started
    busy = ended(load)
    show("full copy to an empty store", f"{copied:.2f} s from the start of the process to normal")
    for name, figures in (("before", quiet), ("meanwhile", busy)):
        exchange = figures["exchange"]
        show(f"300 new leases a second {name}", f"p50 {exchange['p50']} ms, p99 {exchange['p99']} ms, max {exchange['max']} ms, {figures['given_up']} given up")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--leases", type=int, default=1_000_000)
    arguments.add_argument("--alone", action="store_true", help="one node, and no copy")
    arguments.add_argument("--binary", default=str(run.ROOT / "target/release/standfast"))
    chosen = arguments.parse_args()
    run.BINARY = chosen.binary
    run.POOL = (address(0), address(chosen.leases + beside(chosen.leases)))
    with run.Network(), tempfile.TemporaryDirectory(prefix="standfast-many-") as scratch:
        server = (Alone if chosen.alone else Pair)(pathlib.Path(scratch) / "server")
        try:
            measure(server, chosen.leases, pathlib.Path(scratch))
            if not chosen.alone:
                measure_copy(server)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
