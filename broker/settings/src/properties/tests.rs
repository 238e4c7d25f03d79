use super::*;

fn check(text: &str, expected: &[(&str, &str, u32)]) {
    let parsed = Properties::parse(text.as_bytes()).expect("readable");
    let found: Vec<_> = parsed
        .entries()
        .iter()
        .map(|entry| (entry.key.as_str(), entry.value.as_str(), entry.line))
        .collect();
    assert_eq!(found, expected, "text {text:?}");
}

#[test]
fn of_a_request_nothing_has_a_line() {
    let entries = Properties::of_request(b"a=1\nb=2").expect("readable").entries;
    assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [0, 0]);
    let error = |body: &[u8]| Properties::of_request(body).expect_err("refused").to_string();
    assert!(error(b"a=\\u12").starts_with("'\\u' needs four"), "{}", error(b"a=\\u12"));
    let many = "a=1\n".repeat(PROPERTIES_ENTRIES_MAX + 1);
    assert!(error(many.as_bytes()).starts_with("more than"), "{}", error(many.as_bytes()));
}

#[test]
fn separators_comments_and_blank_lines_are_as_in_java() {
    check("a=1\nb: 2\n c 3\n", &[("a", "1", 1), ("b", "2", 2), ("c", "3", 3)]);
    check("# x=1\r\n! y\r\n\r\n\tz = 9 \r\n", &[("z", "9 ", 4)]);
    check("lonely\n", &[("lonely", "", 1)]);
    check("a = = b\n", &[("a", "= b", 1)]);
    check("", &[]);
}

#[test]
fn a_backslash_joins_lines_and_keeps_the_line_of_the_key() {
    check("a=1,\\\n    2,\\\n 3\nb=4", &[("a", "1,2,3", 1), ("b", "4", 4)]);
    check("path=C:\\\\tmp\\\\\nb=1", &[("path", "C:\\tmp\\", 1), ("b", "1", 2)]);
    check("a=1\\", &[("a", "1", 1)]);
}

#[test]
fn escapes_spell_any_character() {
    check("k\\=e\\:y\\ =\\u00fc\\t\\ud83d\\ude00", &[("k=e:y ", "ü\t😀", 1)]);
    check("a=\\q", &[("a", "q", 1)]);
}

#[test]
fn comments_may_hold_what_would_be_a_broken_escape() {
    check("# C:\\users\na=1", &[("a", "1", 2)]);
}

#[test]
fn a_broken_unicode_escape_names_its_line() {
    let error = Properties::parse(b"a=1\nb=\\u12g4").expect_err("refused");
    assert_eq!(error.to_string(), "line 2: '\\u' needs four hexadecimal digits, found \"12g4\"");
    assert!(Properties::parse(b"b=\\u+123").is_err());
    assert!(Properties::parse("b=\\u123ü".as_bytes()).is_err());
}

#[test]
fn bytes_that_are_not_utf8_are_read_as_latin1() {
    let parsed = Properties::parse(b"name=M\xfcller").expect("readable");
    assert_eq!(parsed.get("name").map(|entry| entry.value.as_str()), Some("Müller"));
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let parsed = Properties::parse(b"a=1\nb=2\na=3").expect("readable");
    assert_eq!(parsed.get("a").map(|entry| entry.line), Some(3));
}

#[test]
fn refused_values_say_what_where_and_allowed() {
    let parsed = Properties::parse(b"\nlistenPort = 99999\nflag=yes").expect("readable");
    let port = parsed.get("listenPort").expect("present").number(1..=65535);
    assert_eq!(
        port.expect_err("out of range").to_string(),
        "line 2: listenPort = \"99999\": expected a whole number from 1 to 65535"
    );
    assert!(parsed.get("flag").expect("present").boolean().is_err());
}

#[test]
fn written_entries_read_back_the_same() {
    let pairs = [("a key", " v "), ("#k=:", "line\nbreak\\"), ("ü", "😀\t"), ("e", "")];
    let mut text = String::new();
    for (key, value) in pairs {
        write_entry(&mut text, key, value);
    }
    assert!(text.is_ascii());
    let parsed = Properties::parse(text.as_bytes()).expect("readable");
    let found: Vec<_> =
        parsed.entries().iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    assert_eq!(found, pairs);
}

#[test]
fn oversized_text_is_refused() {
    let text = vec![b'a'; PROPERTIES_SIZE_MAX_BYTES + 1];
    assert!(matches!(Properties::parse(&text), Err(PropertiesError::TooLarge { .. })));
}
