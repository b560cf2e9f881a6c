#include "CMPI.h"

#ifdef LLM_MPI

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

static struct {
    int rank, size, count;
    MPI_Request *requests;
    // Memory that ranks share, until they leave.
    MPI_Win window;
    int shares;
} group;

int llm_mpi_join(int *rank, int *size, int *ranks_of_host) {
    int provided, code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    if (code != MPI_SUCCESS) return code;
    if (provided < MPI_THREAD_SERIALIZED) return MPI_ERR_OTHER;
    // A rank that is gone is noticed elsewhere, and what is running ends in order.
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &group.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &group.size);
    MPI_Comm host;
    code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, group.rank, MPI_INFO_NULL, &host);
    if (code != MPI_SUCCESS) return code;
    MPI_Comm_size(host, ranks_of_host);
    MPI_Comm_free(&host);
    group.requests = calloc(2 * (size_t)group.size, sizeof(MPI_Request));
    if (!group.requests) return MPI_ERR_NO_MEM;
    *rank = group.rank;
    *size = group.size;
    return MPI_SUCCESS;
}

void llm_mpi_leave(void) {
    if (group.shares) MPI_Win_free(&group.window);
    MPI_Finalize();
    free(group.requests);
    group.requests = NULL;
}

void llm_mpi_describe(int code, char *text, size_t capacity) {
    char message[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, message, &length);
    strncpy(text, message, capacity - 1);
    text[capacity - 1] = 0;
}

int llm_mpi_broadcast(char *text, size_t bytes) {
    return MPI_Bcast(text, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
}

int llm_mpi_begin(float *parts, size_t floats, int to_everybody) {
    group.count = 0;
    if (floats > INT_MAX) return MPI_ERR_COUNT;
    for (int step = 1; step < group.size; step++) {
        // Everybody begins with another one.
        int to = (group.rank + step) % group.size, from = (group.rank - step + group.size) % group.size;
        if (to_everybody || group.rank == 0) {
            int code = MPI_Irecv(
                parts + floats * (size_t)from, (int)floats, MPI_FLOAT, from, 0, MPI_COMM_WORLD,
                &group.requests[group.count++]);
            if (code != MPI_SUCCESS) return code;
        }
        if (to_everybody || to == 0) {
            int code = MPI_Isend(
                parts + floats * (size_t)group.rank, (int)floats, MPI_FLOAT, to, 0, MPI_COMM_WORLD,
                &group.requests[group.count++]);
            if (code != MPI_SUCCESS) return code;
        }
    }
    return MPI_SUCCESS;
}

int llm_mpi_begin_settling(void) {
    group.count = 0;
    if (group.rank > 0) {
        return MPI_Irecv(NULL, 0, MPI_BYTE, 0, 1, MPI_COMM_WORLD, &group.requests[group.count++]);
    }
    for (int other = 1; other < group.size; other++) {
        int code = MPI_Isend(NULL, 0, MPI_BYTE, other, 1, MPI_COMM_WORLD, &group.requests[group.count++]);
        if (code != MPI_SUCCESS) return code;
    }
    return MPI_SUCCESS;
}

int llm_mpi_share(size_t bytes, void **areas) {
    void *own;
    int code = MPI_Win_allocate_shared((MPI_Aint)bytes, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &own, &group.window);
    if (code != MPI_SUCCESS) return code;
    group.shares = 1;
    // Fresh memory is zero, and pages that nobody writes take none.
    memset(own, 0, bytes < 4096 ? bytes : 4096);
    for (int rank = 0; rank < group.size; rank++) {
        MPI_Aint size;
        int unit;
        code = MPI_Win_shared_query(group.window, rank, &size, &unit, &areas[rank]);
        if (code != MPI_SUCCESS) return code;
    }
    return MPI_Barrier(MPI_COMM_WORLD);
}

void llm_mpi_announce(uint64_t *flag, uint64_t number) { __atomic_store_n(flag, number, __ATOMIC_RELEASE); }

int llm_mpi_has_announced(const uint64_t *flag, uint64_t number) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE) >= number;
}

int llm_mpi_poll(int *done) {
    return MPI_Testall(group.count, group.requests, done, MPI_STATUSES_IGNORE);
}

#else
// A file that declares nothing is not valid C.
typedef int llm_mpi_is_not_built;
#endif
