//! Reducing a black-and-white image by the exact area average.

/// Reduces a square bitmap of `from`×`from` (1 = ink) to `to`×`to` bytes: the share of ink in the area of each new pixel,
/// times 255, rounded half up.
///
/// Exact: in units of 1/`to` of an old pixel, a new pixel is `from` wide and old pixels end at multiples of `to`, so that every
/// weight is a whole number.
///
/// ```
/// // 3×3 to 2×2: each new pixel covers a whole old one, halves of two, a quarter of the middle one; 2.25 in all.
/// let corner = [1, 0, 0, 0, 0, 0, 0, 0, 0];
/// assert_eq!(relax_latent::data::shrink(&corner, 3, 2), [113, 0, 0, 0]); // 255/2.25 = 113.3
/// ```
///
/// # Panics
/// If `bitmap` is not `from`×`from`.
#[must_use]
pub fn shrink(bitmap: &[u8], from: usize, to: usize) -> Vec<u8> {
    assert_eq!(bitmap.len(), from * from, "a bitmap of {from}×{from}");
    let overlaps: Vec<Vec<(usize, u64)>> = (0..to).map(|cell| overlaps(cell, from, to)).collect();
    let area = (from * from) as u64;
    let mut reduced = Vec::with_capacity(to * to);
    for rows in &overlaps {
        for columns in &overlaps {
            let mut ink = 0;
            for &(row, height) in rows {
                let line = &bitmap[row * from..][..from];
                ink += height
                    * columns.iter().map(|&(column, width)| width * u64::from(line[column])).sum::<u64>();
            }
            reduced.push(((2 * 255 * ink + area) / (2 * area)) as u8);
        }
    }
    reduced
}

/// Which old pixels the new pixel `cell` covers, and how much of each in units of 1/`to`.
fn overlaps(cell: usize, from: usize, to: usize) -> Vec<(usize, u64)> {
    let (start, end) = (cell * from, (cell + 1) * from);
    (start / to..end.div_ceil(to))
        .map(|old| (old, (end.min((old + 1) * to) - start.max(old * to)) as u64))
        .collect()
}
