#!/usr/bin/env python3
"""Measures Standfast beside Kea and ISC dhcpd, alternately, and writes the figures into docs/performance.md.

    cargo build --release --bin standfast
    sudo tests/bench/run.py --rounds 3 --write
    sudo tests/bench/run.py --soak 60       # minutes of 2,000 renewals a second at a pair: memory, store, losses

Needs root, iproute2, and the Debian packages kea-dhcp4-server, kea-common (HA hook) and isc-dhcp-server; peers that are
not installed are left out. Everything happens in four network namespaces of its own:

    clients --lan0--[ br-lan ]--lan0-- a --ha0--[ br-ha ]--ha0-- b --lan0-- (br-lan)

A relay with the address 10.64.0.1 sends every message of the clients to both nodes of a pair. `standfast bench` is the
load; the processor time of a node is what its processes used, not what the kernel did for them in interrupts.
"""
import argparse, datetime, json, os, pathlib, platform, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/performance.md"
NS = "sfbench-"
LAN = {"a": "10.10.0.1", "b": "10.10.0.2"}
HA = {"a": "192.168.77.1", "b": "192.168.77.2"}
RELAY = "10.64.0.1"
POOL = ("10.64.1.0", "10.65.255.254")
# dhcpd allocates and balances every address at its start: with more it does not get ready.
POOL_OF_ISC = ("10.64.1.0", "10.64.255.254")
HOOKS = "/usr/lib/x86_64-linux-gnu/kea/hooks/"
HZ = os.sysconf("SC_CLK_TCK")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Network:
    def __enter__(self):
        self.__exit__()
        for name in ("clients", "a", "b", "sw"):
            ip("netns", "add", NS + name)
            ip("-n", NS + name, "link", "set", "lo", "up")
        for bridge in ("br-lan", "br-ha"):
            ip("-n", NS + "sw", "link", "add", bridge, "type", "bridge")
            ip("-n", NS + "sw", "link", "set", bridge, "up")
        self.port("clients", "lan0", "br-lan", "10.10.0.254/24")
        for node in "ab":
            self.port(node, "lan0", "br-lan", LAN[node] + "/24")
            self.port(node, "ha0", "br-ha", HA[node] + "/24")
            ip("-n", NS + node, "route", "add", "10.64.0.0/12", "via", "10.10.0.254")
        ip("-n", NS + "clients", "addr", "add", RELAY + "/32", "dev", "lan0")
        return self

    def port(self, namespace, name, bridge, address):
        peer = namespace[:4] + name
        ip("link", "add", name, "netns", NS + namespace, "type", "veth", "peer", "name", peer, "netns", NS + "sw")
        ip("-n", NS + "sw", "link", "set", peer, "master", bridge, "up")
        ip("-n", NS + namespace, "addr", "add", address, "dev", name)
        ip("-n", NS + namespace, "link", "set", name, "up")

    def __exit__(self, *_):
        for name in ("clients", "a", "b", "sw"):
            subprocess.run(["ip", "netns", "del", NS + name], stderr=subprocess.DEVNULL)


class Server:
    """One server or pair: knows how to start its nodes, and when they are ready."""
    nodes, needs = "a", ""

    def __init__(self, folder):
        self.folder, self.running = pathlib.Path(folder), {}

    def dir(self, node):
        path = self.folder / node
        path.mkdir(parents=True, exist_ok=True)
        return path

    def start(self):
        for node in self.nodes:
            command, environment = self.command(node)
            log = open(self.dir(node) / "log", "ab")
            self.running[node] = subprocess.Popen(
                ["ip", "netns", "exec", NS + node, *map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **environment}, start_new_session=True)
        deadline = time.time() + 120
        while not all(self.listens(node) and self.is_normal(node) for node in self.nodes):
            ended = [node for node, process in self.running.items() if process.poll() is not None]
            if ended or time.time() > deadline:
                raise RuntimeError(f"{type(self).__name__}: node {ended or self.nodes} is not ready; see {self.folder}/*/log")
            time.sleep(0.1)
        time.sleep(1)

    def listens(self, node):
        shown = subprocess.run(["ip", "netns", "exec", NS + node, "ss", "-Huln", "sport = :67"], capture_output=True, text=True)
        return bool(shown.stdout.strip())

    def is_normal(self, node):
        return True

    def stop(self):
        for process in self.running.values():
            process.send_signal(signal.SIGKILL)
            process.wait()

    def memory(self):
        """Resident bytes of each node."""
        pages = (pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1] for process in self.running.values())
        return [int(count) * os.sysconf("SC_PAGE_SIZE") for count in pages]

    def disk(self):
        """Bytes of each node's folder."""
        return [sum(path.stat().st_size for path in self.dir(node).rglob("*") if path.is_file()) for node in self.nodes]

    def cpu(self):
        """Seconds of processor time of all nodes so far."""
        total = 0
        for process in self.running.values():
            fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / HZ
        return total


class Standfast(Server):
    cluster = '[[node]]\nname = "a"\nrpc = "{a}:6767"\ninterfaces = ["lan0"]\n'
    owner = 'node = "a"'

    def command(self, node):
        tls = self.folder / "tls"
        if not tls.exists():
            subprocess.run([BINARY, "tls", "init", "--cluster", "bench", "--tls-dir", tls], check=True, stdout=subprocess.DEVNULL)
            for name in self.nodes:
                subprocess.run([BINARY, "tls", "issue", "--node", name, "--tls-dir", tls], check=True, stdout=subprocess.DEVNULL)
        file = self.dir(node) / "cluster.toml"
        file.write_text('cluster = "bench"\n' + self.cluster.format(**HA) + f'''[[scope]]
name = "clients"
{self.owner}
subnet = "10.64.0.0/12"
pools = ["{POOL[0]}-{POOL[1]}"]
relays = ["{RELAY}"]
lease_time = "1h"
options = {{ routers = ["{RELAY}"], domain-name-servers = ["{RELAY}"] }}
''')
        data = self.dir(node) / "data"
        return [BINARY, "serve", "--node", node, "--config", file, "--data-dir", data, "--tls-dir", tls, "--new-cluster"], {}


class StandfastPair(Standfast):
    nodes = "ab"
    cluster = Standfast.cluster + '''[[node]]
name = "b"
rpc = "{b}:6767"
interfaces = ["lan0"]
[[relationship]]
name = "bench"
primary = "a"
standby = "b"
'''
    owner = 'relationship = "bench"'

    def is_normal(self, node):
        words = [BINARY, "status", "--json", "--data-dir", self.dir(node) / "data"]
        shown = subprocess.run(words, capture_output=True, text=True).stdout
        return bool(re.search(r'"state":\s*"normal"', shown))


class Kea(Server):
    needs = "kea-dhcp4"

    def command(self, node):
        folder = self.dir(node)
        hooks = [{"library": HOOKS + "libdhcp_lease_cmds.so"}]
        if self.nodes == "ab":
            peers = [{"name": name, "url": f"http://{HA[name]}:8000/", "role": role, "auto-failover": True}
                     for name, role in (("a", "primary"), ("b", "standby"))]
            listener = {"enable-multi-threading": True, "http-dedicated-listener": True, "http-listener-threads": 0, "http-client-threads": 0}
            high = {"this-server-name": node, "mode": "hot-standby", "heartbeat-delay": 1000, "max-response-delay": 60000,
                    "max-ack-delay": 10000, "max-unacked-clients": 10, "multi-threading": listener, "peers": peers}
            hooks.append({"library": HOOKS + "libdhcp_ha.so", "parameters": {"high-availability": [high]}})
        settings = {
            "interfaces-config": {"interfaces": [f"lan0/{LAN[node]}"], "dhcp-socket-type": "udp"},
            "multi-threading": {"enable-multi-threading": True, "thread-pool-size": 0, "packet-queue-size": 64},
            "lease-database": {"type": "memfile", "persist": True, "name": f"{folder}/leases4.csv", "lfc-interval": 3600},
            "control-socket": {"socket-type": "unix", "socket-name": f"{folder}/ctl"},
            "valid-lifetime": 3600, "max-valid-lifetime": 3600,
            "subnet4": [{"id": 1, "subnet": "10.64.0.0/12", "pools": [{"pool": " - ".join(POOL)}],
                         "option-data": [{"name": "routers", "data": RELAY}, {"name": "domain-name-servers", "data": RELAY}]}],
            "hooks-libraries": hooks,
            "loggers": [{"name": "kea-dhcp4", "severity": "WARN", "output_options": [{"output": f"{folder}/kea.log"}]}]}
        (folder / "kea.json").write_text(json.dumps({"Dhcp4": settings}))
        return ["kea-dhcp4", "-c", folder / "kea.json"], {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}


class KeaPair(Kea):
    nodes = "ab"

    def is_normal(self, node):
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(5)
                control.connect(str(self.dir(node) / "ctl"))
                control.sendall(b'{"command": "status-get"}')
                answer = b"".join(iter(lambda: control.recv(65536), b""))
            pair = json.loads(answer)["arguments"]["high-availability"][0]
            return pair["ha-servers"]["local"]["state"] == "hot-standby"
        except (OSError, KeyError, ValueError):
            return False


class IscPair(Server):
    needs, nodes = "dhcpd", "ab"

    def command(self, node):
        folder, other = self.dir(node), "b" if node == "a" else "a"
        role = "primary;\n  mclt 3600;\n  split 255" if node == "a" else "secondary"
        (folder / "dhcpd.conf").write_text(f'''authoritative; ping-check off; ddns-update-style none;
default-lease-time 3600; max-lease-time 3600;
failover peer "fo" {{
  {role};
  address {HA[node]}; port 647; peer address {HA[other]}; peer port 647;
  max-response-delay 60; max-unacked-updates 10; load balance max seconds 3;
}}
subnet 10.10.0.0 netmask 255.255.255.0 {{ }}
subnet 10.64.0.0 netmask 255.240.0.0 {{
  option routers {RELAY}; option domain-name-servers {RELAY};
  pool {{ failover peer "fo"; range {" ".join(POOL_OF_ISC)}; }}
}}
''')
        (folder / "dhcpd.leases").touch()
        return ["dhcpd", "-4", "-f", "-q", "-cf", folder / "dhcpd.conf", "-lf", folder / "dhcpd.leases", "--no-pid", "lan0"], {}

    def is_normal(self, node):
        text = (self.dir(node) / "dhcpd.leases").read_text(errors="replace")
        return re.findall(r"my state (\S+) at", text)[-1:] == ["normal"]


SERVERS = {"Standfast, one node": Standfast, "Kea, one node": Kea, "Standfast, pair": StandfastPair,
           "Kea HA": KeaPair, "ISC dhcpd, failover": IscPair}
# What is measured, in which unit, and whether more is better.
FIGURES = {"leases_per_s": ("new leases a second, 64 under way", True), "cpu_us": ("processor time a new lease, all nodes, µs", False),
           "idle_p50": ("one at a time: new lease, p50, ms", False), "steady_p99": ("300 new leases a second: p99, ms", False),
           "renewals_per_s": ("renewals a second, 64 under way, 5,000 clients", True), "renewal_cpu_us": ("processor time a renewal, all nodes, µs", False)}


def load_command(server, first_client, **options):
    words = ["ip", "netns", "exec", NS + "clients", BINARY, "bench", "--json", "--relay", RELAY, "--first-client", first_client]
    for node in server.nodes:
        words += ["--target", LAN[node]]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), value]
    return list(map(str, words))


def load(server, first_client, **options):
    done = subprocess.run(load_command(server, first_client, **options), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def measure(server, seconds):
    """One run of one server: its figures."""
    server.start()
    try:
        load(server, 0, count=500, give_up="1s")
        idle = load(server, 10_000, outstanding=1, duration=f"{seconds}s", count=20_000, give_up="1s")
        before = server.cpu()
        full = load(server, 100_000, outstanding=64, duration=f"{seconds}s", count=55_000, give_up="1s")
        used = server.cpu() - before
        steady = load(server, 200_000, rate=300, duration=f"{seconds}s", give_up="1s")
        load(server, 300_000, exchange="renewal", clients=5_000, count=1, give_up="1s")
        before = server.cpu()
        renewals = load(server, 300_000, exchange="renewal", clients=5_000, outstanding=64, duration=f"{seconds}s", count=1_000_000, give_up="1s")
        renewal_used = server.cpu() - before
        for run in (idle, full, steady, renewals):
            if run["doubled"]:
                raise RuntimeError(f"{run['doubled']} addresses were given to two clients")
        return {"leases_per_s": full["per_second"], "cpu_us": used / full["completed"] * 1e6, "idle_p50": idle["exchange"]["p50"],
                "steady_p99": steady["exchange"]["p99"], "renewals_per_s": renewals["per_second"],
                # The clients get their leases first, which takes a little of it too.
                "renewal_cpu_us": renewal_used / (renewals["completed"] + 5_000) * 1e6,
                "lost": sum(run["given_up"] for run in (idle, full, steady, renewals))}
    finally:
        server.stop()


def soak(server, minutes):
    """Renewals at a steady rate; memory and store must stay as they are, and no exchange may be lost."""
    server.start()
    try:
        command = load_command(server, 0, exchange="renewal", clients=5_000, rate=2_000, duration=f"{minutes}m", count=100_000_000)
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        samples, started = [], time.time()
        while running.poll() is None:
            if time.time() >= started + 60 * len(samples):
                samples.append([size / 2**20 for size in server.memory() + server.disk()])
                print(f"{len(samples) - 1} min: MiB resident and stored: " + ", ".join(f"{size:.1f}" for size in samples[-1]), flush=True)
            time.sleep(1)
        run = json.loads(running.communicate()[0])
        print(f"{run['completed']} renewals, {run['given_up']} given up, {run['unanswered']} unanswered, {run['sent_again']} sent again, "
              f"p99 {run['exchange']['p99']} ms, max {run['exchange']['max']} ms, {run['doubled']} doubled")
        # Everything is there after the first minutes.
        settled = samples[min(3, len(samples) - 1)]
        grown = [f"{now:.1f} from {then:.1f} MiB" for then, now in zip(settled, samples[-1]) if now > then * 1.1 + 2]
        return run["given_up"] + run["doubled"] == 0 and not grown
    finally:
        server.stop()


def table(results, rounds):
    """Medians with the lowest and the highest of the rounds, and how ours compare."""
    def cell(name, figure):
        values = [run[figure] for run in results.get(name, [])]
        if not values:
            return None, "-"
        digits = 2 if statistics.median(values) < 20 else 0
        show = lambda value: f"{value:,.{digits}f}"
        return statistics.median(values), f"{show(statistics.median(values))} ({show(min(values))} to {show(max(values))})"

    lines = [f"Median of {rounds} alternating rounds (lowest to highest).", ""]
    for ours, theirs in (("Standfast, one node", ["Kea, one node"]), ("Standfast, pair", ["Kea HA", "ISC dhcpd, failover"])):
        lines += ["| | " + " | ".join([ours, *(f"{name} | ratio" for name in theirs)]) + " |", "| --- |" + " --- |" * (1 + 2 * len(theirs))]
        for figure, (what, more_is_better) in FIGURES.items():
            mine, shown = cell(ours, figure)
            row = [what, shown]
            for name in theirs:
                other, shown = cell(name, figure)
                ratio = f"{mine / other:.2f}" if mine and other else "-"
                row += [shown, ratio]
            lines.append("| " + " | ".join(row) + " |")
        lines.append("")
    return "\n".join(lines)


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), Linux {platform.release()}"


def write(text, command):
    page = PAGE.read_text()
    today = datetime.date.today().isoformat()
    figures = f"{today}, {machine()}; load {os.getloadavg()[2]:.1f} at the end.\n\n    {command}\n\n{text}"
    begin, end = "<!-- figures -->", "<!-- end of figures -->"
    before, rest = page.split(begin)
    PAGE.write_text(f"{before}{begin}\n{figures}{end}{rest.split(end)[1]}")


def main():
    global BINARY
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=5, help="of each load")
    arguments.add_argument("--only", default="", help="parts of names of servers, with commas between them")
    arguments.add_argument("--binary", default=str(ROOT / "target/release/standfast"))
    arguments.add_argument("--soak", type=int, metavar="MINUTES", help="instead of a comparison")
    arguments.add_argument("--write", action="store_true", help="write docs/performance.md")
    chosen = arguments.parse_args()
    BINARY = chosen.binary
    only = [part.lower() for part in chosen.only.split(",")]
    results = {}
    with Network(), tempfile.TemporaryDirectory(prefix="standfast-bench-") as scratch:
        if chosen.soak:
            sys.exit(0 if soak(StandfastPair(pathlib.Path(scratch) / "soak"), chosen.soak) else 1)
        for number in range(chosen.rounds):
            for name, make in SERVERS.items():
                if not any(part in name.lower() for part in only) or (make.needs and not shutil.which(make.needs)):
                    continue
                folder = pathlib.Path(scratch) / f"{make.__name__}-{number}"
                try:
                    figures = measure(make(folder), chosen.seconds)
                except RuntimeError as error:
                    print(f"round {number}, {name}: {error}", file=sys.stderr, flush=True)
                    continue
                results.setdefault(name, []).append(figures)
                print(f"round {number}, {name}: " + ", ".join(f"{key} {value:.2f}" for key, value in figures.items()), flush=True)
    text = table(results, chosen.rounds)
    print(text)
    if chosen.write:
        write(text, "sudo tests/bench/run.py " + " ".join(sys.argv[1:]))


if __name__ == "__main__":
    main()
