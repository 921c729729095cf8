#!/usr/bin/env python3
"""Measures for how long clients of a pair go without an ACK when something breaks, with default timers.

    cargo build --release --bin standfast
    sudo tests/bench/outages.py --runs 20

A new client asks every 5 ms, by way of a relay that speaks to both nodes, and asks once only: what is not answered stays
unanswered, so the gap between two ACKs is that of the servers and not of a client's patience. Each run is a new pair.

    killed     the active node gets a SIGKILL
    cut off    both cables of the active node are cut
    link       only the link between the nodes is cut, and clients hear both
"""
import argparse, os, pathlib, random, select, socket, statistics, struct, subprocess, sys, tempfile, time
import run

run.NS = "sfgap-"
COOKIE = bytes([99, 130, 83, 99])
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
EVERY = 0.005
FAULT_AT, SECONDS = 1.0, 4.0


def message(kind, number, options=b""):
    hardware = struct.pack("!HI", 0x0200, number)
    head = struct.pack("!BBBBIHH4s4s4s4s16s64s128s", 1, 1, 6, 1, number, 0, 0, b"", b"", b"", socket.inet_aton(run.RELAY), hardware, b"", b"")
    return head + COOKIE + bytes([53, 1, kind]) + options + b"\xff"


def options_of(packet):
    found, rest = {}, packet[240:]
    while rest and rest[0] != 255:
        found[rest[0]] = rest[2:2 + rest[1]]
        rest = rest[2 + rest[1]:]
    return found


def ask(first):
    """Inside the clients' namespace: asks until the time is over, and prints when which ACK came from whom."""
    relay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    relay.bind((run.RELAY, 67))
    nodes = [(address, 67) for address in run.LAN.values()]
    print("asking", flush=True)
    number, next_at, end = first, time.monotonic(), time.monotonic() + SECONDS
    while (now := time.monotonic()) < end:
        if now >= next_at:
            for node in nodes:
                relay.sendto(message(DISCOVER, number), node)
            number, next_at = number + 1, next_at + EVERY
        if select.select([relay], [], [], max(0, min(next_at, end) - time.monotonic()))[0]:
            packet = relay.recv(2048)
            options, client = options_of(packet), struct.unpack("!I", packet[4:8])[0]
            if options[53][0] == OFFER:
                chosen = bytes([50, 4]) + packet[16:20] + bytes([54, 4]) + options[54]
                for node in nodes:
                    relay.sendto(message(REQUEST, client, chosen), node)
            elif options[53][0] == ACK:
                print(time.monotonic(), socket.inet_ntoa(options[54]), socket.inet_ntoa(packet[16:20]), client, flush=True)


def kill(pair):
    pair.running["a"].kill()


def cut(*cables):
    def fault(_):
        for cable in cables:
            run.ip("-n", run.NS + "sw", "link", "set", "a" + cable, "down")
    return fault


FAULTS = {"killed": kill, "cut off": cut("lan0", "ha0"), "link": cut("ha0")}


def measure(fault, folder):
    """Seconds until the first ACK of the survivor and seconds of the longest gap between two ACKs, from the fault on."""
    with run.Network():
        pair = run.StandfastPair(folder)
        pair.start()
        try:
            command = ["ip", "netns", "exec", run.NS + "clients", sys.executable, __file__, "--ask"]
            asking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            asking.stdout.readline()
            time.sleep(FAULT_AT + random.random() * 0.5)
            at = time.monotonic()
            fault(pair)
            heard = [line.split() for line in asking.communicate()[0].splitlines()]
            ended = time.monotonic()
        finally:
            pair.stop()
    given = {}
    for _, _, address, client in heard:
        if given.setdefault(address, client) != client:
            raise RuntimeError(f"{address} was given to two clients")
    # What is not over at the end counts too.
    times = [at] + [float(when) for when, *_ in heard if float(when) > at] + [ended]
    survivor = [float(when) for when, server, *_ in heard if float(when) > at and server == run.LAN["b"]]
    return survivor[0] - at if survivor else None, max(after - before for before, after in zip(times, times[1:]))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=20)
    arguments.add_argument("--binary", default=str(run.ROOT / "target/release/standfast"))
    arguments.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.ask:
        return ask(1)
    run.BINARY = chosen.binary
    for name, fault in FAULTS.items():
        results = []
        for _ in range(chosen.runs):
            with tempfile.TemporaryDirectory(prefix="standfast-gap-") as folder:
                results.append(measure(fault, pathlib.Path(folder)))
        shown = []
        for what, values in (("first ACK of the survivor", [first for first, _ in results]), ("longest gap", [gap for _, gap in results])):
            values = [value for value in values if value is not None]
            if values:
                shown.append(f"{what}: p50 {statistics.median(values):.3f} s, max {max(values):.3f} s ({len(values)} runs)")
        print(f"{name}: " + "; ".join(shown), flush=True)


if __name__ == "__main__":
    main()
