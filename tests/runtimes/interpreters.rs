//! CPython, Ruby, and PHP.
