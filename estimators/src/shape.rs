//! Shape checks of the pure functions: a wrong length is a caller's bug and panics with the array's name.

/// Panics unless `array` named `name` holds `expected` numbers.
#[inline]
#[track_caller]
pub(crate) fn check_len<T>(name: &str, array: &[T], expected: usize) {
    assert!(array.len() == expected, "`{name}` holds {} numbers, expected {expected}", array.len());
}

/// The width K of an array `[B, K]` whose B is known.
#[inline]
#[track_caller]
pub(crate) fn width(name: &str, len: usize, rows: usize) -> usize {
    if rows == 0 {
        assert!(len == 0, "`{name}` holds {len} numbers, expected none for a batch of 0");
        return 1;
    }
    assert!(len > 0 && len.is_multiple_of(rows), "`{name}` holds {len} numbers, not {rows} whole rows");
    len / rows
}

/// Panics unless an array of `len` numbers is whole rows of `width`.
#[inline]
#[track_caller]
pub(crate) fn check_rows(name: &str, len: usize, width: usize) {
    assert!(
        width > 0 && len.is_multiple_of(width),
        "`{name}` holds {len} numbers, not whole rows of {width}"
    );
}
