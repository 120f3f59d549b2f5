//! The pure half: decodes what the kernel and dyld provide, and walks a map through a trait.

#[cfg(test)]
mod apple_layout;
pub(crate) mod arguments;
pub(crate) mod decode;
pub(crate) mod images;
pub(crate) mod kern;
pub(crate) mod macho;
pub(crate) mod records;
pub(crate) mod refusal;
pub(crate) mod segments;
pub mod tags;
pub(crate) mod walk;
