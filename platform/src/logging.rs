//! Logging, if the feature `log` is on; else nothing.

macro_rules! info {
    ($($argument:tt)*) => {{
        #[cfg(feature = "log")]
        log::info!($($argument)*);
        #[cfg(not(feature = "log"))]
        let _ = format_args!($($argument)*);
    }};
}

macro_rules! debug {
    ($($argument:tt)*) => {{
        #[cfg(feature = "log")]
        log::debug!($($argument)*);
        #[cfg(not(feature = "log"))]
        let _ = format_args!($($argument)*);
    }};
}

pub(crate) use {debug, info};
