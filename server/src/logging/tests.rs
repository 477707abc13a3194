use super::*;

#[test]
fn a_record_is_one_line_whatever_is_in_it() {
    let mut out = OneLine(Vec::new());
    out.write_all(b"WARN a\nWARN forged\r\nb\n").unwrap();
    assert_eq!(out.0, b"WARN a\\nWARN forged\\r\\nb\n");
}

#[test]
fn a_record_without_an_end_stays_without() {
    assert_eq!(in_one_line(b"a\nb"), b"a\\nb");
    assert_eq!(in_one_line(b"\n"), b"\n");
    assert_eq!(in_one_line(b""), b"");
}
