"""The disk says no: it is full, or cannot be written. Each ends in words, and the run goes on once there is room."""

import os
import subprocess
from contextlib import contextmanager

from world import World

SIZE = 16 << 20
# How much is left free: nothing at all, too little to begin, and enough to begin but not to end.
ROOM = [0, 8 << 10, 32 << 10, 96 << 10, 192 << 10, 320 << 10, 512 << 10]
LOCKED = ["Read-only file system", "read-only", "Permission denied"]
FULL = ["disk is full", "No space left", "full"]


@contextmanager
def small_disk(campaign, folder, what):
    """A small file system in memory; None where mounting is not allowed, which is counted as skipped."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        campaign.counts[f"skipped, or done with permissions, since nothing can be mounted: {what}"] += 1
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)


def fill(disk, room):
    """Fills a file system but for so many bytes."""
    with open(disk / "filler", "wb", buffering=0) as filler:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - room
        try:
            while free > 0:
                free -= filler.write(b"x" * min(free, 1 << 16))
        except OSError:
            pass


def full(campaign, binary, folder):
    """Runs on a disk that gets full at several points; after each, room is made and the run goes on."""
    for number, room in enumerate(ROOM):
        where = f"full disk with {room >> 10} KiB free"
        with small_disk(campaign, folder / f"full{number}", "full disk") as disk:
            if disk is None:
                return
            world = World(binary, folder / f"project-full{number}", disk / "home", large=4096)
            fill(disk, room)
            code, text = world.amlrun("run", "pipeline.yml", "--name", "r")
            if code == 0:
                campaign.counts["full disks that were large enough"] += 1
            elif code != 1 or not any(word in text for word in FULL):
                campaign.fail(where, f"exit code {code}:\n{text}")
            (disk / "filler").unlink()
            go_on(campaign, world, where)
            campaign.counts["full disks"] += 1


def read_only(campaign, binary, folder):
    """A workspace that cannot be written: before its first run, and when a run is to go on."""
    where = "read-only workspace"
    with small_disk(campaign, folder / "locked", where) as disk:
        if disk is None and os.geteuid() == 0:
            return
        root = disk or folder / "locked"
        world = World(binary, folder / "project-locked", root / "home", large=4096)

        def remount(how):
            if disk:
                subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)
            else:
                permit(root, how == "rw")

        for moment in ("before the first run", "before a resume"):
            remount("ro")
            begun = began(world)
            arguments = ["run", "--resume", "r"] if begun else ["run", "pipeline.yml", "--name", "r"]
            code, text = world.amlrun(*arguments)
            if code != 1 or not any(word in text for word in LOCKED):
                campaign.fail(f"{where} {moment}", f"exit code {code}:\n{text}")
            if begun:
                world.query("job", "show", "-n", "r")
                world.query("job", "list")
            remount("rw")
            campaign.counts["read-only workspaces"] += 1
            if not begun:
                # A run that has something left to do.
                (world.runs / "chain_3").mkdir()
                world.amlrun("run", "pipeline.yml", "--name", "r")
                (world.runs / "chain_3").rmdir()
        go_on(campaign, world, where)


def permit(root, write):
    """Without a file system of its own: folders and records are kept from being written by their permissions."""
    for place in [root, *root.rglob("*")]:
        if place.is_dir():
            place.chmod(0o700 if write else 0o500)
        elif place.name == "events.jsonl":
            place.chmod(0o600 if write else 0o400)


def began(world):
    return any(event["event"] == "run_started" for event in world.events("r"))


def go_on(campaign, world, where):
    """There is room again: the run is gone on with, or begun, and must be whole."""
    usual, campaign.world = campaign.world, world
    try:
        run = "r" if campaign.began("r") else campaign.again("r", where, [])
        if not campaign.is_complete(run):
            campaign.kept_by(where, run, lambda: campaign.resume(run, where, []))
        campaign.whole(run, where)
        if left := world.left():
            campaign.fail(where, f"left {left}")
    except AssertionError as error:
        campaign.fail(where, str(error))
    finally:
        campaign.world = usual
