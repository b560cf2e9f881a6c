// The calls of an MPI library that a group of ranks needs, without its types. They are there with the package trait MPI
// only.
#ifndef CMPI_H
#define CMPI_H

#include <stddef.h>
#include <stdint.h>

/// Joins the processes that `mpirun` or a scheduler started with this one. Calls must come from one thread at a time.
/// Returns 0, or what MPI says.
int llm_mpi_join(int *rank, int *size, int *ranks_of_host);

/// Leaves in order; all others must do so too.
void llm_mpi_leave(void);

/// The text of what another call returned.
void llm_mpi_describe(int code, char *text, size_t capacity);

/// `text` of rank 0 becomes everybody's.
int llm_mpi_broadcast(char *text, size_t bytes);

/// Begins to exchange parts of `floats` numbers each, which lie in `parts` in the order of ranks: with everybody, or
/// only to rank 0. One exchange at a time.
int llm_mpi_begin(float *parts, size_t floats, int to_everybody);

/// Begins to let rank 0 tell the others that it has all that they sent. A send counts as done once the library has the
/// numbers; to bring them away it may need the sender to call it again.
int llm_mpi_begin_settling(void);

/// Memory of this machine that all ranks see, when all are on it: `areas[r]` becomes that of rank `r`, `bytes` long;
/// its first page is zero.
int llm_mpi_share(size_t bytes, void **areas);

/// Says that everything written so far is there; a number that only grows.
void llm_mpi_announce(uint64_t *flag, uint64_t number);

/// Whether another rank has said so.
int llm_mpi_has_announced(const uint64_t *flag, uint64_t number);

/// Sets `done` to 1 once the exchange is over.
int llm_mpi_poll(int *done);

#endif
