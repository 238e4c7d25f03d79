use super::*;
use crate::error::REFUSED_NAMED_MAX;
use crate::settings;
use crate::value::Allowed;

settings! {
    /// Settings of nothing.
    Sample {
        ["Numbers"]
        port: u16 = 7, "port", Allowed::number(1, 9, "port"), Restart, true, "A port.";
        limit: u64 = 5, "limit", Allowed::number(0, 10, "ms"), Live, false, "A limit.";
        ["Words"]
        on: bool = false, "on", Allowed::Flag, Live, false, "A switch.";
    }
}

impl Rules for Sample {
    fn accepted() -> impl Iterator<Item = &'static str> {
        ["threads", "aclEnable", "timers"].into_iter()
    }

    fn class(key: &str) -> Option<Class> {
        match key {
            "threads" => Some(Class::NothingToConfigure),
            "timers" => Some(Class::FeatureMissing),
            "aclEnable" => Some(Class::Promise(&["false"])),
            _ => None,
        }
    }

    fn is_forbidden(&self, key: &str) -> bool {
        key == "on"
    }

    fn clashes(&self) -> Vec<Clash> {
        let text = "port and limit are equal".to_owned();
        let clash = Clash { keys: &["port", "limit"], text };
        (u64::from(self.port) == self.limit).then_some(clash).into_iter().collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.on.then(|| "on is loud".to_owned()).into_iter().collect()
    }
}

fn read(text: &str) -> (Result<(), String>, Sample, Notes) {
    let (mut sample, mut notes) = (Sample::default(), Notes::default());
    let properties = Properties::parse(text.as_bytes()).expect("well-formed properties");
    let result = sample.apply(&properties, &mut notes).map_err(|error| error.to_string());
    (result, sample, notes)
}

#[test]
fn keys_are_applied_kept_noted_or_named_by_what_they_are() {
    let (result, sample, notes) =
        read("port=9\nthreads=4\ntimers=2\naclEnable=false\nlimt=1\nwhatever=1\non=true");
    assert_eq!((result, sample.port), (Ok(()), 9));
    let expected = [
        "line 5: unknown key limt, ignored; did you mean limit?",
        "line 6: unknown key whatever, ignored",
        "on is loud",
    ];
    assert_eq!(notes.warnings, expected);
    assert_eq!(notes.without_effect, ["timers"]);
    let text = "aclEnable=false\nlimit=5\non=true\nport=9\nthreads=4\ntimers=2\n";
    assert_eq!(sample.to_properties(), text);
}

#[test]
fn many_unknown_keys_are_counted_and_long_ones_not_shown() {
    let many: String = (0..20).map(|number| format!("{number}=1\n")).collect();
    let (result, _, notes) = read(&format!("{}=1\n{many}", "k".repeat(129)));
    assert_eq!((result, notes.unknown, notes.warnings.len()), (Ok(()), 21, 17));
    assert_eq!(notes.warnings[0], "line 1: unknown key of 129 bytes, ignored");
    assert_eq!(notes.warnings[1], "line 2: unknown key 0, ignored");
    assert_eq!(notes.warnings[16], "5 more unknown keys, ignored");
}

#[test]
fn only_words_of_about_the_same_length_are_compared() {
    let known = || ["limit", "timers", "threads", "aclEnable", "maxMessageSize"].into_iter();
    let compared = |key: &str| {
        let words = std::cell::RefCell::new(Vec::new());
        nearest(key, known(), |known, key| {
            words.borrow_mut().push(known.to_owned());
            strsim::damerau_levenshtein(known, key)
        });
        words.into_inner()
    };
    assert_eq!(compared("limt"), ["limit", "timers"]);
    assert_eq!(compared("maxMesageSize"), ["maxMessageSize"]);
    assert_eq!(compared(&"k".repeat(UNKNOWN_SHOWN_MAX_BYTES)), [""; 0]);
    let found = |key| nearest(key, known(), strsim::damerau_levenshtein);
    assert_eq!(found("maxMesageSize"), Some("maxMessageSize"));
    assert_eq!(
        (found("limt"), found("threats"), found("other")),
        (Some("limit"), Some("threads"), None)
    );
}

#[test]
fn values_and_combinations_that_do_not_fit_are_refused() {
    for (text, expected) in [
        ("\nport=10", "line 2: port = \"10\": expected a whole number from 1 to 9"),
        ("on=yes", "line 1: on = \"yes\": expected true or false"),
        ("aclEnable=true", "line 1: aclEnable = \"true\": expected false: this version"),
        ("aclEnable=on", "line 1: aclEnable = \"on\": expected false: this version"),
        ("port=5", "port and limit are equal"),
    ] {
        let refused = read(text).0.expect_err("refused");
        assert!(refused.starts_with(expected), "{refused}");
    }
}

#[test]
fn all_that_is_refused_is_named_at_once() {
    let refused = |text: &str| read(text).0.expect_err("refused");
    let port = "expected a whole number from 1 to 9";
    assert_eq!(
        refused("port=10\non=yes\naclEnable=true\nlimit=7"),
        format!(
            "line 1: port = \"10\": {port}; line 2: on = \"yes\": expected true or false; \
             line 3: aclEnable = \"true\": expected false: this version does not have it"
        ),
        "limit is 7 as the port is by default, of which nobody spoke"
    );
    let both = refused("on=yes\nport=4\nlimit=4");
    assert!(both.starts_with("line 1: on = "), "{both}");
    assert!(both.ends_with("; port and limit are equal"), "{both}");
    let many = refused(&"on=yes\n".repeat(20));
    assert_eq!(many.matches("true or false").count(), REFUSED_NAMED_MAX, "{many}");
    assert!(many.ends_with("; 4 more"), "{many}");
}

#[test]
fn a_change_is_all_or_nothing_and_names_what_needs_a_restart() {
    let (mut sample, mut next) = (Sample::default(), Sample::default());
    let mut update = |text: &str| {
        let properties = Properties::parse(text.as_bytes()).expect("well-formed properties");
        let updated = sample.update(&mut next, &properties, &mut Notes::default());
        let values = |sample: &Sample| (sample.limit, sample.port);
        (updated, values(&sample), values(&next))
    };
    // The port stays what it is until the next start, and is named as long as it does.
    assert_eq!(update("port=8\nlimit=1"), (Ok(vec!["port"]), (1, 7), (1, 8)));
    assert_eq!(update("limit=2\nport=8"), (Ok(vec!["port"]), (2, 7), (2, 8)));
    assert_eq!(update("limit=3"), (Ok(vec![]), (3, 7), (3, 8)));
    assert_eq!(update("port=7"), (Ok(vec![]), (3, 7), (3, 7)));
    assert_eq!(update("port=8"), (Ok(vec!["port"]), (3, 7), (3, 8)));
    // Refused for what runs, and for what would run after the next start.
    for text in ["limit=4\nport=0", "limit=7", "limit=8"] {
        let (updated, running, next) = update(text);
        assert!(matches!(updated, Err(UpdateError::Invalid(_))), "{text}");
        assert_eq!((running, next), ((3, 7), (3, 8)), "{text}");
    }
    assert_eq!(update("limit=4\non=true").0, Err(UpdateError::Forbidden("on".into())));
}

#[test]
fn changes_of_an_earlier_run_that_do_not_fit_any_more_are_left_out() {
    let (mut sample, mut notes) = (Sample::default(), Notes::default());
    let overrides =
        [("limit", "7"), ("on", "true"), ("port", "4"), ("aclEnable", "on"), ("limt", "1")];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut overrides = BTreeMap::from(overrides);
    sample.apply_overrides(&mut overrides, &mut notes);
    assert_eq!((sample.limit, sample.on, sample.port), (5, false, 4));
    let expected = [
        "a change of an earlier run: on=true: the key on cannot be changed by a request; a \
         start takes it from the configuration file",
        "a change of an earlier run: aclEnable = \"on\": expected false: this version does not \
         have it",
        "a change of an earlier run: port and limit are equal",
        "unknown key limt, ignored; did you mean limit?",
    ];
    assert_eq!(notes.warnings, expected);
    assert_eq!(overrides.into_keys().collect::<Vec<_>>(), ["aclEnable", "limit", "limt", "port"]);
}
