//! Tests of what names say.

use super::{kind, kinds};

#[test]
fn objects_with_and_without_brackets() {
    for (class, expected) in [
        ("kvm-vcpu:12", "device"),
        ("[kvm-vcpu:12]", "device"),
        ("bpf-map", "bpf"),
        ("bpf_link", "bpf"),
        ("[vfio-device]", "device"),
        ("dmabuf", "device"),
        ("i915.gem", "device"),
        ("[aio]", "aio"),
        ("[secretmem]", "shared-memory"),
        ("[eventpoll]", "kernel-object"),
    ] {
        assert_eq!(kind("rw-s", "00:0e", &format!("anon_inode:{class}")), expected, "{class}");
    }
}

#[test]
fn paths_of_devices_and_of_shared_memory() {
    for (protection, path, expected) in [
        ("rw-s", "/sys/devices/pci0000:00/0000:00:03.0/resource0", "device"),
        ("rw-s", "/sys/bus/pci/devices/0000:00:03.0/resource2_wc", "device"),
        ("rw-s", "/proc/bus/pci/00/03.0", "device"),
        ("r--s", "/sys/fs/selinux/status", "mapped-file"),
        ("rw-s", "/dev/mem", "device"),
        ("rw-s", "/dmabuf:system", "device"),
        ("rw-s", "/run/shm/x (deleted)", "shared-memory"),
        ("rw-p", "/run/shm/x", "mapped-file"),
        ("r--s", "/dev/__properties__", "mapped-file"),
        ("rw-s", "/secretmem", "shared-memory"),
    ] {
        assert_eq!(kind(protection, "00:05", path), expected, "{path}");
    }
    assert_eq!(kind("rw-s", "00:0e", "/secretmem (deleted)"), "shared-memory");
}

#[test]
fn huge_pages_by_their_path_if_nothing_else_is_known() {
    let huge = [
        "/dev/hugepages/x",
        "/dev/hugepages1G/libvirt/x (deleted)",
        "/dev/hugepages-1048576kB/x",
        "/run/hugepages/kvm/x",
        "/mnt/huge/x",
        "/mnt/huge_1G/x",
        "/mnt/hugetlbfs/x",
        "/var/lib/hugetlbfs/pagesize-2MB/x",
        "/somewhere/rtemap_12",
        "/anon_hugepage (deleted)",
    ];
    for path in huge {
        assert_eq!(kind("rw-s", "00:0f", path), "huge-pages", "{path}");
        let counted = format!("200000-400000 rw-s 0 00:0f 7 {path}\nKernelPageSize: 4 kB\n");
        assert_ne!(kinds(&counted)[0], "huge-pages", "{path}");
    }
    for path in ["/mnt/hugedisk/x", "/mnt/huge", "/home/me/huge/x", "/x/rtemap_", "/x/rtemap_a"] {
        assert_eq!(kind("rw-s", "08:01", path), "mapped-file", "{path}");
    }
}

#[test]
fn huge_pages_by_page_size_by_count_and_by_flag() {
    for fields in [
        "KernelPageSize: 2048 kB",
        "Private_Hugetlb: 2048 kB",
        "Shared_Hugetlb: 4 kB",
        "KernelPageSize: 64 kB\nVmFlags: rd wr ht",
    ] {
        for name in ["", "/x", "/SYSV00000000 (deleted)", "/memfd:x (deleted)"] {
            let text = format!("200000-400000 rw-s 0 00:0f 7 {name}\n{fields}\n");
            assert_eq!(kinds(&text), ["huge-pages"], "{name}: {fields}");
        }
    }
    let plain =
        "200000-400000 rw-p 0 00:00 0\nKernelPageSize: 4 kB\nAnonHugePages: 2048 kB\nPrivate_Hugetlb: 0 kB\n";
    assert_eq!(kinds(plain), ["anonymous"]);
    let persistent = "200000-400000 rw-s 0 00:05 7 /dev/dax0.0\nKernelPageSize: 2048 kB\n";
    assert_eq!(kinds(persistent), ["device"]);
}

#[test]
fn ashmem_has_the_names_of_private_memory() {
    for (protection, name, expected) in [
        ("rw-p", "dalvik-main space", "gc-heap"),
        ("rw-p", "dalvik-heap", "gc-heap"),
        ("rw-p", "dalvik-zygote space", "gc-heap"),
        ("---p", "dalvik-main space", "reserved"),
        ("r-xp", "dalvik-jit-code-cache", "jit-code"),
        ("rw-p", "dalvik-data-code-cache", "jit-code"),
        ("rw-p", "dalvik-mark stack", "named"),
    ] {
        for name in [format!("/dev/ashmem/{name} (deleted)"), format!("[anon:{name}]")] {
            assert_eq!(kind(protection, "00:04", &name), expected, "{name}");
        }
    }
    assert_eq!(kind("rw-s", "00:04", "/dev/ashmem/gralloc (deleted)"), "shared-memory");
}
