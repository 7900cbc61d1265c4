//! What the first bytes of a file say about it.

/// How many bytes are looked at.
pub(super) const HEAD: usize = 4096;

/// What a file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// Text, which begins after so many bytes (the byte order mark).
    Text { from: u64 },
    /// Nothing in it.
    Empty,
    /// UTF-16 or UTF-32.
    Wide,
    /// Something else, in words with an article.
    Binary(&'static str),
}

/// Beginnings of files that are often mistaken for CSV, and of what commonly lies beside it.
const MAGICS: [(&[u8], &str); 15] = [
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "a ZIP archive"),
    (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an old Office document (XLS)"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"%PDF-", "a PDF document"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xFF\xD8\xFF", "a picture (JPEG)"),
    (b"GIF87a", "a picture (GIF)"),
    (b"GIF89a", "a picture (GIF)"),
    (b"\xFD7zXZ\0", "an xz archive"),
    (b"\x28\xB5\x2F\xFD", "a zstd archive"),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
    (b"Rar!\x1A\x07", "a RAR archive"),
    (b"\x7FELF", "a program"),
];

/// Looks at the first bytes of a file.
pub(super) fn sniff(head: &[u8]) -> Looks {
    let wide_marks: [&[u8]; 3] = [b"\xFF\xFE", b"\xFE\xFF", b"\0\0\xFE\xFF"];
    // What is shorter than what is looked at is the whole file.
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    if head.len() < HEAD && text.trim_ascii().is_empty() {
        return Looks::Empty;
    }
    if wide_marks.iter().any(|mark| head.starts_with(mark)) {
        return Looks::Wide;
    }
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        let spreadsheet = head.starts_with(b"PK") && has(head, b"[Content_Types].xml");
        return Looks::Binary(if spreadsheet { "a spreadsheet (XLSX)" } else { what });
    }
    if head.contains(&0) {
        return if is_wide(head) { Looks::Wide } else { Looks::Binary("binary data") };
    }
    Looks::Text { from: if head.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 } }
}

/// Text in UTF-16 without a mark: every other byte of mostly Latin text is NUL, on one side only.
fn is_wide(head: &[u8]) -> bool {
    let nuls = |side| head.iter().skip(side).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (nuls(0), nuls(1));
    let most = even.max(odd);
    most * 5 >= head.len() && even.min(odd) * 10 <= most
}

fn has(head: &[u8], needle: &[u8]) -> bool {
    head.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_the_rest() {
        assert_eq!(sniff(b"a,b\n1,2\n"), Looks::Text { from: 0 });
        assert_eq!(sniff(b"\xEF\xBB\xBFa,b"), Looks::Text { from: 3 });
        assert_eq!(sniff(b"PKW,b\n"), Looks::Text { from: 0 });
        for nothing in [&b""[..], b" \n\n\t\r\n", b"\xEF\xBB\xBF\n"] {
            assert_eq!(sniff(nothing), Looks::Empty);
        }
        assert_eq!(sniff(&[b' '; HEAD]), Looks::Text { from: 0 }, "there may be more");
        assert_eq!(sniff(b"\xFF\xFEa\0,\0"), Looks::Wide);
        assert_eq!(sniff(b"\xFE\xFF\0a\0,"), Looks::Wide);
        assert_eq!(sniff(b"a\0,\0b\0\n\0"), Looks::Wide);
        assert_eq!(sniff(b"\0a\0,\0b\0\n"), Looks::Wide);
        assert_eq!(sniff(b"a,b\n1,\0\n"), Looks::Binary("binary data"));
        assert_eq!(
            sniff(b"PK\x03\x04\x14\0\x06\0[Content_Types].xml"),
            Looks::Binary("a spreadsheet (XLSX)")
        );
        assert_eq!(sniff(b"PK\x03\x04\x14\0"), Looks::Binary("a ZIP archive"));
        assert_eq!(sniff(b"\x1F\x8B\x08"), Looks::Binary("a gzip archive"));
        assert_eq!(sniff(b"%PDF-1.7\n"), Looks::Binary("a PDF document"));
    }
}
