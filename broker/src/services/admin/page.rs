//! Pages of long tables: topics (21) and groups (201).

use std::ops::Range;

/// Entries of one page when the tool does not say (Apache's `splitMetadataSize`).
const PAGE_DEFAULT: i32 = 2_000;

/// The entries of a page that begins at `first`, of a table of `total`.
///
/// The 5.5 tools ask for a next page while `first < total - 1`, and so never ask for an entry that
/// would stand alone on the last one: a page that would leave one entry over takes it along.
pub(super) fn page(first: i32, wanted: Option<i32>, total: usize) -> Range<usize> {
    let start = usize::try_from(first).unwrap_or(0).min(total);
    let wanted = wanted.filter(|wanted| *wanted > 0).unwrap_or(PAGE_DEFAULT).min(PAGE_DEFAULT);
    let end = start.saturating_add(usize::try_from(wanted).unwrap_or(0)).min(total);
    if end + 1 == total { start..total } else { start..end }
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn no_entry_stands_alone_on_the_last_page() {
        assert_eq!(page(0, Some(43), 44), 0..44);
        assert_eq!(page(0, Some(43), 45), 0..43);
        assert_eq!(page(43, Some(43), 45), 43..45);
        assert_eq!(page(0, None, 10), 0..10);
        assert_eq!(page(-1, Some(0), 10), 0..10);
        assert_eq!(page(99, Some(5), 10), 10..10);
        assert_eq!(page(0, Some(i32::MAX), 5_000), 0..2_000);
    }
}
