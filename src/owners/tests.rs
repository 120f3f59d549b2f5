//! Hostile and torn memory.
