use proptest::prelude::*;

use super::*;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

fn read(query: &str, content_type: Option<&str>, body: impl Into<Bytes>) -> Result<Vec<(String, String)>, DecodeError> {
    let params = decode(query, content_type, &body.into())?;
    let mut found: Vec<_> = params.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    found.sort();
    Ok(found)
}

fn pairs(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, DecodeError> {
    let mut pairs: Vec<_> = expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    pairs.sort();
    Ok(pairs)
}

#[test]
fn forms() {
    for (body, expected) in [
        ("", vec![]),
        ("&&", vec![]),
        ("key=a&action=status&order=1", vec![("key", "a"), ("action", "status"), ("order", "1")]),
        ("comments=good%0D%0Anice+one", vec![("comments", "good\r\nnice one")]),
        ("link=https%3A%2F%2Fe.com%2F%3Fa%3D1%26b%3D2%23x", vec![("link", "https://e.com/?a=1&b=2#x")]),
        ("link=https://e.com/?a=1", vec![("link", "https://e.com/?a=1")]),
        ("link=%D0%B6%E2%82%AC%f0%9f%98%80", vec![("link", "ж€😀")]),
        ("a=100%&b=%zz&c=%4", vec![("a", "100%"), ("b", "%zz"), ("c", "%4")]),
        ("a=%EF%BF%BD", vec![("a", "\u{FFFD}")]),
        ("a", vec![("a", "")]),
        ("=x", vec![("", "x")]),
        ("a=1&a=2&a=3", vec![("a", "3")]),
        ("orders[]=1&orders[]=2", vec![("orders", "1,2")]),
        ("orders%5B0%5D=1&orders%5B1%5D=2&x=y&orders%5B2%5D=3", vec![("orders", "1,2,3"), ("x", "y")]),
        ("comments[]=a+b&comments[]=c", vec![("comments", "a b\nc")]),
        ("orders=9&orders[]=1&orders[]=2", vec![("orders", "1,2")]),
        ("orders[]=1&orders=9", vec![("orders", "9")]),
        ("[]=1&a]=2&b[=3", vec![("[]", "1"), ("a]", "2"), ("b[", "3")]),
    ] {
        assert_eq!(read("", Some(FORM), body), pairs(&expected), "{body}");
    }
}

#[test]
fn a_body_of_any_other_type_is_a_form() {
    for content_type in [None, Some("text/plain"), Some("rubbish"), Some(""), Some("application/octet-stream")] {
        assert_eq!(read("", content_type, "key=a&order=1"), pairs(&[("key", "a"), ("order", "1")]));
    }
}

#[test]
fn json_objects() {
    for (body, expected) in [
        ("", vec![]),
        ("  ", vec![]),
        ("{}", vec![]),
        (r#"{"order": 23501, "key": "a"}"#, vec![("order", "23501"), ("key", "a")]),
        (
            r#"{"a": 0.10, "b": 100000000000000000000000, "c": -1, "d": 1.0}"#,
            vec![("a", "0.10"), ("b", "100000000000000000000000"), ("c", "-1"), ("d", "1.0")],
        ),
        (r#"{"a": true, "b": false, "c": null}"#, vec![("a", "1"), ("b", "0")]),
        (r#"{"orders": [1, "2", 3]}"#, vec![("orders", "1,2,3")]),
        (r#"{"order": [1, null, 2], "refills": []}"#, vec![("order", "1,2")]),
        (
            r#"{"comments": ["a, b", "c"], "usernames": ["x", "y"]}"#,
            vec![("comments", "a, b\nc"), ("usernames", "x\ny")],
        ),
        (r#"{"comments": "a\nb"}"#, vec![("comments", "a\nb")]),
        (r#"{"a": 1, "a": 2}"#, vec![("a", "2")]),
    ] {
        assert_eq!(read("", Some(JSON), body), pairs(&expected), "{body}");
    }
    for content_type in ["application/json; charset=utf-8", "Application/JSON", "text/json", "application/x+json"] {
        assert_eq!(read("", Some(content_type), r#"{"a":1}"#), pairs(&[("a", "1")]), "{content_type}");
    }
}

#[test]
fn json_that_is_no_call() {
    for (body, expected) in [
        ("{", DecodeError::BrokenJson { line: 1, column: 1 }),
        ("{\n \"a\": x}", DecodeError::BrokenJson { line: 2, column: 7 }),
        (r#"{"a": 1} x"#, DecodeError::BrokenJson { line: 1, column: 10 }),
        ("[1]", DecodeError::NotAnObject),
        ("null", DecodeError::NotAnObject),
        ("1", DecodeError::NotAnObject),
        (r#"{"a": {"b": 1}}"#, DecodeError::Nested),
        (r#"{"a": [[1]]}"#, DecodeError::Nested),
        (r#"{"a": [{"b": 1}]}"#, DecodeError::Nested),
    ] {
        assert_eq!(read("", Some(JSON), body), Err(expected), "{body}");
    }
    let deep = format!("{{\"a\": {}", "[".repeat(1_000_000));
    assert!(matches!(read("", Some(JSON), deep), Err(DecodeError::BrokenJson { .. })));
}

#[test]
fn text_that_is_no_utf8() {
    assert_eq!(read("", None, "a=%ff"), Err(DecodeError::NotUtf8));
    assert_eq!(read("a=%C3%28", None, ""), Err(DecodeError::NotUtf8));
    assert_eq!(read("", None, &b"a=\xff"[..]), Err(DecodeError::NotUtf8));
    assert_eq!(read("", Some(JSON), &b"{\"a\":\"\xff\"}"[..]), Err(DecodeError::NotUtf8));
    let part = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\xff\r\n--B--\r\n";
    assert_eq!(read("", Some("multipart/form-data; boundary=B"), &part[..]), Err(DecodeError::NotUtf8));
}

fn multipart(parts: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (head, text) in parts {
        body.push_str(&format!(
            "--------------------------d74496d66958873e\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n"
        ));
    }
    body + "--------------------------d74496d66958873e--\r\n"
}

const MULTIPART: &str = "multipart/form-data; boundary=------------------------d74496d66958873e";

#[test]
fn multipart_as_curl_sends_it() {
    let body = multipart(&[
        ("name=\"key\"", "abc"),
        ("name=\"comments\"", "good\r\nnice & ж"),
        ("name=\"orders[0]\"", "1"),
        ("name=\"orders[1]\"", "2"),
        ("name=\"empty\"", ""),
        ("name=\"photo\"; filename=\"x.png\"", "\u{1}\u{2}"),
    ]);
    let expected = [("key", "abc"), ("comments", "good\r\nnice & ж"), ("orders", "1,2"), ("empty", "")];
    assert_eq!(read("", Some(MULTIPART), body), pairs(&expected));
    assert_eq!(read("", Some(MULTIPART), "--------------------------d74496d66958873e--\r\n"), pairs(&[]));
}

#[test]
fn multipart_that_is_broken() {
    let whole = multipart(&[("name=\"key\"", "abc")]);
    for end in 0..whole.len() - 4 {
        let cut = whole.as_bytes()[..end].to_vec();
        assert_eq!(read("", Some(MULTIPART), cut), Err(DecodeError::BrokenMultipart), "cut at {end}");
    }
    assert_eq!(read("", Some("multipart/form-data"), whole), Err(DecodeError::BrokenMultipart));
}

#[test]
fn the_body_wins_by_name() {
    assert_eq!(
        read("key=q&action=status&orders[]=7", Some(FORM), "key=b&orders[]=1&orders[]=2"),
        pairs(&[("key", "b"), ("action", "status"), ("orders", "1,2")])
    );
    assert_eq!(read("key=q&a=1", Some(JSON), r#"{"key": "b"}"#), pairs(&[("key", "b"), ("a", "1")]));
    assert_eq!(read("key=q&a=1", None, ""), pairs(&[("key", "q"), ("a", "1")]));
}

#[test]
fn other_names_stand_in_where_the_right_one_is_missing() {
    assert_eq!(read("api_key=a&order_id=1&url=u", None, ""), pairs(&[("key", "a"), ("order", "1"), ("link", "u")]));
    assert_eq!(read("api_key=a&key=b", None, ""), pairs(&[("api_key", "a"), ("key", "b")]));
    assert_eq!(read("key=b", None, "api_key=a"), pairs(&[("api_key", "a"), ("key", "b")]));
}

#[test]
fn a_flood_of_parameters_is_refused() {
    let many = |count: usize| (0..count).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
    assert_eq!(read("", None, many(1000)).unwrap().len(), 1000);
    assert_eq!(read("", None, many(1001)), Err(DecodeError::TooMany));
    assert_eq!(read(&many(600), None, many(600)), Err(DecodeError::TooMany));
    let parts: Vec<_> = (0..1001).map(|_| ("name=\"a\"", "1")).collect();
    assert_eq!(read("", Some(MULTIPART), multipart(&parts)), Err(DecodeError::TooMany));
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic(
        query in ".{0,60}",
        kind in prop::sample::select(vec![FORM, JSON, MULTIPART, "multipart/form-data; boundary=\"\"", "multipart/form-data; boundary=-"]),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = decode(&query, Some(kind), &Bytes::from(body));
    }

    #[test]
    fn almost_multipart_is_taken_without_a_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "--B", "--B--", "\r\n", "\r\n\r\n", "Content-Disposition: form-data; name=\"a\"", "name=", "\"", "x", " ", "--", ":",
        ]), 0..40),
    ) {
        let _ = decode("", Some("multipart/form-data; boundary=B"), &Bytes::from(pieces.concat()));
    }

    #[test]
    fn any_text_comes_through_a_form(name in "[a-z_]{1,9}x", text in any::<String>()) {
        let body = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &text).finish();
        prop_assert_eq!(read("", Some(FORM), body), pairs(&[(&name, &text)]));
    }

    #[test]
    fn any_text_comes_through_json(name in "[a-z_]{1,9}x", text in any::<String>()) {
        let body = serde_json::json!({ &name: &text }).to_string();
        prop_assert_eq!(read("", Some(JSON), body), pairs(&[(&name, &text)]));
    }
}
