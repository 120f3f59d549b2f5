//! HotSpot.
