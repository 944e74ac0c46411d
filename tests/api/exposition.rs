//! What is wrong with a text of metrics, if anything.

use std::collections::{HashMap, HashSet};

/// Families by name with their type, or what is wrong with the exposition (Prometheus text format 0.0.4).
pub(crate) fn families(text: &str) -> Result<HashMap<String, String>, String> {
    let mut types: HashMap<String, String> = HashMap::new();
    let mut series = HashSet::new();
    if !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or(line)?;
            if types.insert(name.into(), kind.into()).is_some() {
                return Err(format!("{name} is declared twice"));
            }
            if (kind == "counter") != name.ends_with("_total") {
                return Err(format!("{name} is a {kind}"));
            }
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').ok_or(line)?;
            value.parse::<f64>().map_err(|_| format!("{line}: not a number"))?;
            if !series.insert(name.to_owned()) {
                return Err(format!("{name} appears twice"));
            }
            let bare = name.split('{').next().unwrap_or_default();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| bare.strip_suffix(suffix));
            if !types.contains_key(bare)
                && base.is_none_or(|base| types.get(base).is_none_or(|kind| kind != "histogram"))
            {
                return Err(format!("{bare} has no type"));
            }
        }
    }
    Ok(types)
}

#[test]
fn the_check_of_the_exposition_finds_what_is_wrong() {
    for wrong in [
        "a 1\n",
        "# TYPE a gauge\na 1\na 2\n",
        "# TYPE a gauge\n# TYPE a gauge\n",
        "# TYPE a counter\na 1\n",
        "# TYPE a_total gauge\n",
        "# TYPE a gauge\na x\n",
        "# TYPE a gauge\na 1",
        "# TYPE a gauge\na_bucket{le=\"1\"} 1\n",
    ] {
        assert!(families(wrong).is_err(), "{wrong}");
    }
    assert!(families("# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n").is_ok());
}
