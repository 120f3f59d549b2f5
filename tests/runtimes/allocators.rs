//! jemalloc, mimalloc, tcmalloc, and musl's malloc.
