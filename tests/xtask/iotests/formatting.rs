//! The options of `qemu-img create`, and the line that it prints.

use std::ffi::OsString;

/// What stands behind `-o`.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) size: Option<String>,
    pub(super) backing: Option<String>,
    pub(super) backing_format: Option<String>,
    pub(super) preallocation: Option<String>,
    pub(super) compression_type: Option<String>,
    compat: Option<String>,
    cluster_size: Option<u64>,
    extended_l2: Option<String>,
    lazy_refcounts: Option<String>,
    refcount_bits: Option<String>,
}

impl Options {
    /// Reads a list of options; `None` for what forger does not have.
    pub(super) fn read(&mut self, list: &str) -> Option<()> {
        for option in list.split(',') {
            let (name, value) = option.split_once('=')?;
            let value = value.to_owned();
            match name {
                "size" => self.size = Some(value),
                "backing_file" => self.backing = Some(value),
                "backing_fmt" => self.backing_format = Some(value),
                "preallocation" => self.preallocation = Some(value),
                "compression_type" => self.compression_type = Some(value),
                "compat" => self.compat = Some(value),
                "cluster_size" => self.cluster_size = Some(size(&value)?),
                "extended_l2" => self.extended_l2 = Some(value),
                "lazy_refcounts" => self.lazy_refcounts = Some(value),
                "refcount_bits" => self.refcount_bits = Some(value),
                _ => return None,
            }
        }
        Some(())
    }

    /// Returns the options of `forger create` and `forger convert` that they mean.
    pub(super) fn for_forger(&self) -> Vec<OsString> {
        let version = self.compat.as_ref().map(|compat| match compat.as_str() {
            "0.10" | "v2" => "2".to_owned(),
            "1.1" | "v3" => "3".to_owned(),
            other => other.to_owned(),
        });
        let cluster = self.cluster_size.map(|size| size.to_string());
        let on = |value: &Option<String>| value.as_deref() == Some("on");
        let valued = [
            ("--qcow2-version", version.as_ref()),
            ("--cluster-size", cluster.as_ref()),
            ("--refcount-bits", self.refcount_bits.as_ref()),
            ("--compression-type", self.compression_type.as_ref()),
        ];
        let switches = [
            ("--extended-l2", on(&self.extended_l2)),
            ("--lazy-refcounts", on(&self.lazy_refcounts)),
        ];
        let valued = valued
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?).into()));
        let switches = switches
            .into_iter()
            .filter(|(_, given)| *given)
            .map(|(name, _)| name.into());
        valued.chain(switches).collect()
    }
}

/// Returns what `qemu-img create` of QEMU 7.2 prints before it makes an image.
pub(super) fn formatting(
    out: &str,
    format: &str,
    bytes: u64,
    options: &Options,
    backing: Option<&String>,
    backing_format: Option<&String>,
) -> String {
    let mut line = format!("Formatting '{out}', fmt={format}");
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            line.push_str(&format!(" {name}={value}"));
        }
    };
    if format == "raw" {
        put("size", Some(&bytes.to_string()));
        line.push('\n');
        return line;
    }
    let or =
        |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    let cluster = options.cluster_size.unwrap_or(65_536).to_string();
    put("cluster_size", Some(&cluster));
    put("extended_l2", Some(&or(&options.extended_l2, "off")));
    put("preallocation", options.preallocation.as_deref());
    put(
        "compression_type",
        Some(&or(&options.compression_type, "zlib")),
    );
    put("size", Some(&bytes.to_string()));
    put("compat", options.compat.as_deref());
    put("backing_file", backing.map(String::as_str));
    put("backing_fmt", backing_format.map(String::as_str));
    put("lazy_refcounts", Some(&or(&options.lazy_refcounts, "off")));
    put("refcount_bits", Some(&or(&options.refcount_bits, "16")));
    line.push('\n');
    line
}

/// Reads a size as qemu-img does: `1024`, `0.5k`, `1.5T`, `10b`.
pub(super) fn size(text: &str) -> Option<u64> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit {
        "" | "b" | "B" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        "t" | "T" => 40,
        "p" | "P" => 50,
        "e" | "E" => 60,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u128 = whole.parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u128 = match fraction {
        "" => 0,
        fraction => fraction.parse().ok()?,
    };
    let units = whole.checked_mul(scale)?.checked_add(fraction)?;
    u64::try_from((units << shift) / scale).ok()
}
