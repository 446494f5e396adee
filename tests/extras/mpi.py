#!/usr/bin/env python3
"""A real Open MPI: a program compiled with mpicc computes over ranks that `distribution: mpi` or its own mpirun starts.

    tests/extras/mpi.py target/release/amlrun        with mpicc and mpirun on PATH
"""

import subprocess
import sys

import world

SUM = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int rank, size, sum;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc > 1 && !strcmp(argv[1], "fail") && rank == 1) exit(7);
    if (argc > 1) { printf("it waits\n"); fflush(stdout); sleep(600); }
    int one = rank + 1;
    MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    printf("rank %d of %d: %d\n", rank, size, sum);
    MPI_Finalize();
}
"""


def job(command, processes=2):
    spread = f"distribution: {{type: mpi, process_count_per_instance: {processes}}}\n" if processes else ""
    return f"command: {command}\ncode: ./src\nenvironment: azureml:any@latest\n{spread}"


PROJECT = world.Project(sys.argv[1], {
    "src/sum.c": SUM,
    "job.yml": job("./sum"),
    "own.yml": job("mpirun --allow-run-as-root --oversubscribe -n 3 ./sum", 0),
    "script.yml": job("echo $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE"),
    "fail.yml": job("./sum fail"),
    "wait.yml": job("./sum wait"),
})
subprocess.run(["mpicc", "-o", "sum", "sum.c"], cwd=PROJECT.folder / "src", check=True)


def lines(run):
    return sorted(PROJECT.log(run, "main").splitlines())


def ranks_talk_to_each_other():
    PROJECT.run("run", "job.yml", "--name", "job")
    assert lines("job") == ["rank 0 of 2: 3", "rank 1 of 2: 3"], lines("job")


def a_command_may_call_mpirun():
    PROJECT.run("run", "own.yml", "--name", "own")
    assert lines("own") == [f"rank {rank} of 3: 6" for rank in range(3)], lines("own")


def programs_without_mpi_know_their_rank():
    PROJECT.run("run", "script.yml", "--name", "script")
    assert lines("script") == ["0 of 2", "1 of 2"], lines("script")


def a_failing_rank_ends_the_others():
    out = PROJECT.run("run", "fail.yml", "--name", "fail", code=1)
    assert "exit code 7" in out, out


def no_rank_is_left():
    world.ends(PROJECT, "wait.yml", "it waits")


world.check([ranks_talk_to_each_other, a_command_may_call_mpirun, programs_without_mpi_know_their_rank,
             a_failing_rank_ends_the_others, no_rank_is_left])
