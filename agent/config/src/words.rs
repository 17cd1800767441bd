//! Values that are written as words: each word once, for reading and for printing.

/// Words for values, each once, for reading and for printing.
pub(crate) trait Words: Copy + PartialEq + 'static {
    const ALL: &'static [(&'static str, Self)];

    fn keyword(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }

    fn read(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
        known.ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|(word, _)| *word).collect();
            format!("one of {}", words.join(", "))
        })
    }
}

/// The words of these types.
macro_rules! words {
    ($($type:ident: $($word:literal $variant:ident),+;)+) => { $(
        impl $crate::words::Words for $type {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, $type::$variant)),+];
        }
    )+ };
}

pub(crate) use words;
