use super::*;
use proptest::prelude::*;

/// Gives a few bytes at a time, so that every edge of a buffer is met.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(self.0.len()).min(buffer.len());
        let (now, later) = self.0.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.0 = later;
        Ok(length)
    }
}

type Read1 = (u64, Vec<Vec<u8>>);

fn read(text: &[u8], at_once: usize) -> Result<Vec<Read1>, Problem> {
    let mut rows = Rows::new(Drip(text, at_once));
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let mut start = 0;
        let cells = row.ends.iter().map(|&end| row.bytes[std::mem::replace(&mut start, end)..end].to_vec());
        all.push((row.line(), cells.collect()));
    }
    Ok(all)
}

fn lines(text: &str) -> Vec<(u64, usize)> {
    let rows = read(text.as_bytes(), 1).expect("readable");
    rows.into_iter().map(|(line, cells)| (line, cells.len())).collect()
}

#[test]
fn a_row_has_the_line_on_which_it_starts() {
    assert_eq!(lines("a,b\n1,2\n3\n"), [(1, 2), (2, 2), (3, 1)]);
    assert_eq!(lines("a,b\r\n1,2\r\n3"), [(1, 2), (2, 2), (3, 1)], "CRLF is one line");
    assert_eq!(lines("a\rb\r\rc"), [(1, 1), (2, 1), (4, 1)], "a lone CR is a line");
    assert_eq!(lines("\n\r\n\na\n\n\nb"), [(4, 1), (7, 1)], "empty lines count as lines, not as rows");
    assert_eq!(lines("\"a\nb\",c\n1,2"), [(1, 2), (3, 2)], "lines within quotes count");
    assert_eq!(lines("\"a\r\n\rb\",c\r\n1,2"), [(1, 2), (4, 2)]);
    assert_eq!(lines("\"a\r\"\n1"), [(1, 1), (3, 1)]);
    assert_eq!(lines("\"\"\n \n,\n"), [(1, 1), (2, 1), (3, 2)], "these are rows");
    assert_eq!(lines(""), []);
}

#[test]
fn cells_are_read_as_python_reads_them() {
    let cells = |text: &str| -> Vec<String> {
        let rows = read(text.as_bytes(), 2).expect("readable");
        rows[0].1.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
    };
    assert_eq!(cells("a,\"b\"\"c\",\"d,e\",\"\""), ["a", "b\"c", "d,e", ""]);
    assert_eq!(cells("\"a\"b\"c,d"), ["ab\"c", "d"]);
    assert_eq!(cells("a\"b, \"c\",\n"), ["a\"b", " \"c\"", ""]);
    assert_eq!(cells("\"a\r\n\nb\""), ["a\r\n\nb"]);
}

#[test]
fn what_no_row_can_be_is_a_problem_with_a_line() {
    assert!(matches!(read(b"a\n1\n\"2\n3\n4\n", 1), Err(Problem::OpenQuote { line: 3 })));
    assert!(matches!(read(b"a,b\n\"1\n1\",\"2\n3\n4\n", 3), Err(Problem::OpenQuote { line: 2 })));
    assert!(matches!(read(b"a\n1\n2\x003\n", 1), Err(Problem::Nul { line: 3 })));
    assert!(matches!(read(b"a\n1\n2\x003\n", 100), Err(Problem::Nul { line: 3 })));
    assert!(matches!(read(b"a\n\0\0", 1), Err(Problem::Nul { line: 2 })));
    let long = [b"a\n1\n".to_vec(), vec![b'x'; ROW_LIMIT + 1], b"\n2\n".to_vec()].concat();
    assert!(matches!(read(&long, BUFFER), Err(Problem::TooLong { line: 3 })));
}

#[test]
fn memory_is_bounded_by_the_limits() {
    let text = [vec![b','; ROW_LIMIT], b"\n".to_vec()].concat();
    let mut rows = Rows::new(text.as_slice());
    let row = rows.next().expect("readable").expect("a row");
    assert_eq!((row.cells(), row.ends.len()), (ROW_LIMIT + 1, MOST_COLUMNS));
    assert!(row.bytes.len() <= ROW_LIMIT);
}

#[test]
fn each_cell_is_utf8_on_its_own() {
    let mut rows = Rows::new(b"\xC3,\xA9\n\xC3\xA9,\n".as_slice());
    assert!(rows.next().expect("readable").expect("a row").text().is_none());
    let row = rows.next().expect("readable").expect("a row");
    assert_eq!(row.text().expect("UTF-8").collect::<Vec<_>>(), ["é", ""]);
}

/// The number of the line that begins at, or holds, the byte at `offset`.
fn line_at(text: &[u8], offset: usize) -> u64 {
    let ends = (0..offset).filter(|&i| match text[i] {
        b'\n' => i == 0 || text[i - 1] != b'\r',
        b'\r' => true,
        _ => false,
    });
    ends.count() as u64 + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Another parser as the judge: the same rows and cells, starting at the same bytes.
    #[test]
    fn the_csv_crate_reads_the_same(text in "[ab,\"\r\n é]{0,40}", at_once in 1usize..5) {
        let bytes = text.as_bytes();
        let rows = match read(bytes, at_once) {
            Err(Problem::OpenQuote { .. }) => return Ok(()),
            other => other.expect("readable"),
        };
        let mut judge = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let mut expected: Vec<Read1> = Vec::new();
        for record in judge.byte_records() {
            let record = record.expect("flexible");
            let mut start = usize::try_from(record.position().expect("a position").byte()).expect("small");
            while matches!(bytes[start], b'\r' | b'\n') {
                start += 1; // it counts the empty lines before a row to the row
            }
            expected.push((line_at(bytes, start), record.iter().map(<[u8]>::to_vec).collect()));
        }
        prop_assert_eq!(rows, expected);
    }
}
