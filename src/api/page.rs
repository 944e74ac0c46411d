//! Lists in pages. A cursor holds where the next page begins, as the last row of this one; it carries no right to read
//! anything, so it is not signed: a forged one begins somewhere else in what the caller may see anyway.

use super::problem::{Code, Problem};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};

/// Rows in a page.
pub(crate) const LIMIT_MAX: u32 = 200;
pub(crate) const LIMIT_DEFAULT: u32 = 50;
/// Characters of a cursor: the longest of ours has about 200.
const CURSOR_LEN_MAX: usize = 1_024;

/// Part of the query of each list.
#[derive(Clone, Default, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Rows wanted at most.
    #[serde(default, deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 200, default = 50, required = false, value_type = u32)]
    pub(crate) limit: Limit,
    /// `next` of the page before.
    #[serde(default)]
    #[param(required = false, max_length = 1024)]
    pub(crate) cursor: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limit(u32);

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

impl Limit {
    /// One more than a page, to see whether there is another.
    pub(crate) fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }
}

pub(crate) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
    // A text, because a flattened query has nothing else.
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    match text.parse() {
        Ok(number @ 1..=LIMIT_MAX) => Ok(Limit(number)),
        _ => Err(serde::de::Error::custom("limit is between 1 and 200")),
    }
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Cursor of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// `rows` as asked for with [`Limit::rows`]. `list` names the list and what it was filtered by.
    pub(crate) fn new<R, K: Serialize>(
        mut rows: Vec<R>,
        limit: Limit,
        list: &str,
        key: impl Fn(&R) -> K,
        show: impl FnMut(R) -> T,
    ) -> Self {
        let length = limit.0 as usize;
        let has_more = rows.len() > length;
        rows.truncate(length);
        let next = rows.last().filter(|_| has_more).map(|row| write_cursor(list, &key(row)));
        Self { items: rows.into_iter().map(show).collect(), next }
    }
}

fn write_cursor<K: Serialize>(list: &str, key: &K) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::json!([list, key]).to_string())
}

/// The key that a cursor of this list holds.
pub(crate) fn read_cursor<K: serde::de::DeserializeOwned>(list: &str, cursor: &str) -> Result<K, Problem> {
    let key = || {
        let bytes = (cursor.len() <= CURSOR_LEN_MAX).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten()?;
        let (of, key): (String, K) = serde_json::from_slice(&bytes).ok()?;
        (of == list).then_some(key)
    };
    key().ok_or_else(|| Code::InvalidCursor.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_page_leads_on_and_the_last_does_not() {
        let page = |rows: Vec<u32>| Page::new(rows, Limit(2), "l", |row| *row, |row| row);
        let first = page(vec![1, 2, 3]);
        assert_eq!(first.items, [1, 2]);
        assert_eq!(read_cursor::<u32>("l", &first.next.unwrap()), Ok(2));
        assert_eq!(page(vec![3, 4]).next, None);
        assert_eq!(page(vec![]).next, None);
    }

    #[test]
    fn a_cursor_of_another_list_or_none_at_all_is_refused() {
        let cursor = write_cursor("keys", &"a");
        assert_eq!(read_cursor::<String>("keys", &cursor).as_deref(), Ok("a"));
        for wrong in ["", "x", "%%%", &"A".repeat(5_000), &write_cursor("keys", &1), &write_cursor("meetings", &"a")] {
            assert_eq!(read_cursor::<String>("keys", wrong).unwrap_err().code(), Code::InvalidCursor, "{wrong}");
        }
    }
}
