//! The machine that a target's code is for.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Bytes;

/// What decoding a target's memory needs: the size of a pointer, the order of bytes, and the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TargetArch {
    /// The size of a pointer. 4 for the x32 ABI and for ARM64_32, whose machines have 64 bits.
    pub word_size: Bytes,
    /// The order of the bytes in a number.
    pub byte_order: ByteOrder,
    /// The machine.
    pub machine: Machine,
}

/// The order of the bytes in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrder {
    /// The least significant byte comes first.
    Little,
    /// The most significant byte comes first.
    Big,
}

impl ByteOrder {
    /// The number in `bytes`, which are at most 8.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            ByteOrder::Big => bytes.iter().fold(0, add),
            ByteOrder::Little => bytes.iter().rev().fold(0, add),
        }
    }
}

macro_rules! machines {
    ($($(#[doc = $doc:literal])+ $variant:ident = $id:literal, $elf:literal,)+) => {
        /// A processor architecture.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Machine {
            $($(#[doc = $doc])+ $variant,)+
            /// Any other.
            Other,
        }

        impl Machine {
            /// The identifier in machine formats, such as `x86-64`.
            pub const fn id(self) -> &'static str {
                match self { $(Machine::$variant => $id,)+ Machine::Other => "other" }
            }

            /// The machine of an identifier; [`Machine::Other`] if this version does not know it.
            pub fn from_id(id: &str) -> Machine {
                match id { $($id => Machine::$variant,)+ _ => Machine::Other }
            }

            /// The machine of an ELF header's `e_machine` (`include/uapi/linux/elf-em.h`).
            pub const fn from_elf(number: u16) -> Machine {
                match number { $($elf => Machine::$variant,)+ _ => Machine::Other }
            }
        }
    };
}

machines! {
    /// 32-bit x86.
    X86 = "x86", 3,
    /// 64-bit x86.
    X86_64 = "x86-64", 62,
    /// 32-bit ARM.
    Arm = "arm", 40,
    /// 64-bit ARM.
    Arm64 = "arm64", 183,
    /// RISC-V, of both sizes.
    RiscV = "riscv", 243,
    /// 32-bit PowerPC.
    PowerPc = "powerpc", 20,
    /// 64-bit PowerPC.
    PowerPc64 = "powerpc64", 21,
    /// IBM Z.
    S390 = "s390", 22,
    /// LoongArch, of both sizes.
    LoongArch = "loongarch", 258,
    /// MIPS, of both sizes.
    Mips = "mips", 8,
}

impl Serialize for Machine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Machine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Machine, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer).map(|id| Machine::from_id(&id))
    }
}

impl TargetArch {
    /// How many bytes [`TargetArch::from_elf`] looks at.
    pub const ELF_START: usize = 20;

    /// An architecture.
    pub const fn new(word_size: Bytes, byte_order: ByteOrder, machine: Machine) -> TargetArch {
        TargetArch { word_size, byte_order, machine }
    }

    /// The architecture in the first [20 bytes](TargetArch::ELF_START) of an ELF file (`elf(5)`); `None` if it is no such file.
    pub fn from_elf(start: &[u8]) -> Option<TargetArch> {
        const MAGIC: &[u8] = b"\x7fELF";
        let start = start.get(..TargetArch::ELF_START)?.strip_prefix(MAGIC)?;
        let word_size = match start[0] {
            1 => Bytes(4),
            2 => Bytes(8),
            _ => return None,
        };
        let machine = [start[14], start[15]];
        let (byte_order, machine) = match start[1] {
            1 => (ByteOrder::Little, u16::from_le_bytes(machine)),
            2 => (ByteOrder::Big, u16::from_be_bytes(machine)),
            _ => return None,
        };
        Some(TargetArch::new(word_size, byte_order, Machine::from_elf(machine)))
    }

    /// The number in `bytes`, which are at most 8.
    pub(crate) fn number(self, bytes: &[u8]) -> u64 {
        self.byte_order.number(bytes)
    }

    /// The architecture of a `Code Type` as vmmap prints it, such as `X86-64` or `ARM64E`; `None` for an unknown one.
    pub fn from_code_type(code_type: &str) -> Option<TargetArch> {
        let (word_size, byte_order, machine) = match code_type {
            "X86-64" => (8, ByteOrder::Little, Machine::X86_64),
            "X86" => (4, ByteOrder::Little, Machine::X86),
            "ARM64" | "ARM64E" => (8, ByteOrder::Little, Machine::Arm64),
            "ARM64_32" => (4, ByteOrder::Little, Machine::Arm64),
            "ARM" => (4, ByteOrder::Little, Machine::Arm),
            "PPC" => (4, ByteOrder::Big, Machine::PowerPc),
            "PPC-64" => (8, ByteOrder::Big, Machine::PowerPc64),
            _ => return None,
        };
        Some(TargetArch::new(Bytes(word_size), byte_order, machine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elf_headers_of_both_orders() {
        let x86_64 = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0more";
        let arch = TargetArch::from_elf(x86_64).unwrap();
        assert_eq!(arch, TargetArch::new(Bytes(8), ByteOrder::Little, Machine::X86_64));
        let s390 = b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0\0\x03\0\x16";
        let arch = TargetArch::from_elf(s390).unwrap();
        assert_eq!(arch, TargetArch::new(Bytes(8), ByteOrder::Big, Machine::S390));
        for other in [&x86_64[..19], b"#!/bin/sh\n and something more", b""] {
            assert_eq!(TargetArch::from_elf(other), None);
        }
    }

    #[test]
    fn documents_keep_it_and_know_no_machine_that_is_newer() {
        let arch = TargetArch::from_code_type("ARM64E").unwrap();
        let text = serde_json::to_string(&arch).unwrap();
        assert_eq!(text, r#"{"word-size":8,"byte-order":"little","machine":"arm64"}"#);
        assert_eq!(serde_json::from_str::<TargetArch>(&text).unwrap(), arch);
        let newer = serde_json::from_str::<TargetArch>(&text.replace("arm64", "arm128")).unwrap();
        assert_eq!(newer.machine, Machine::Other);
    }
}
