//! Size classes.

use super::extents::class_size;

#[test]
fn size_classes_are_those_of_jemalloc() {
    let sizes: Vec<_> = (0..16).filter_map(class_size).collect();
    assert_eq!(sizes, [8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448]);
    // The first large one.
    assert_eq!(class_size(36), Some(16 << 10));
    assert_eq!(class_size(u64::MAX), None);
    assert!((0..255).filter_map(class_size).is_sorted());
}
