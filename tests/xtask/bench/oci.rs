//! A container image of five layers flattened to ext4, against decompressing its layers and against umoci.

use std::fs;

use forger_tests::process::Run;
use serde_json::Value;

use super::Bench;
use super::report::Report;
use crate::Outcome;

/// Splits the extracted tar by names into five layers and makes an image of them.
const MAKE: &str = r#"
rm -rf layout bundle-*
umoci init --layout layout
umoci new --image layout:app
cd "$D"
find . -print0 | LC_ALL=C sort -z > "$W/names"
split -t '\0' -n l/5 -d "$W/names" "$W/part."
for part in "$W"/part.*; do
    tar --create --no-recursion --null --files-from "$part" --xattrs --xattrs-include='*' --numeric-owner --file "$W/layer.tar"
    umoci raw add-layer --image "$W/layout:app" "$W/layer.tar"
    rm "$W/layer.tar" "$part"
done
"#;

impl Bench {
    /// Flattens the image.
    pub(super) fn oci(&self, report: &mut Report) -> Outcome {
        self.image()?;
        let gzip = vec![
            self.script("forger mkfs oci:", "\"$F\" mkfs -q oci:layout:app \"$O\" >&2"),
            self.script(
                "gzip -dc of each layer",
                "while read -r layer; do gzip -dc \"$layer\" > /dev/null; done < layers; touch \"$O\"",
            ),
        ];
        report.race(self.race("5 gzip layers -> ext4, verified", Some(1.15), gzip))?;
        let umoci =
            vec![
            self.script("forger mkfs oci:", "\"$F\" mkfs -q oci:layout:app \"$O\" >&2"),
            self.script(
                "umoci unpack, sync -f",
                "umoci unpack --image layout:app bundle-$$ >&2; sync -f bundle-$$; touch \"$O\"",
            ),
        ];
        report.race(self.race("5 gzip layers -> ext4, against umoci", Some(0.5), umoci))?;
        Run::new("bash")
            .args(["-euc", "rm -rf bundle-*"])
            .dir(&self.dir)
            .limit(600)
            .try_output()?;
        Ok(())
    }

    fn image(&self) -> Outcome {
        self.inputs.extract()?;
        let run = Run::new("bash")
            .args(["-euc", MAKE])
            .env("D", &self.inputs.folder);
        let made = run
            .env("W", &self.dir)
            .dir(&self.dir)
            .limit(1800)
            .try_output()?;
        if !made.status.success() {
            return Err(made.to_string().into());
        }
        let run =
            Run::new(&self.forger).args(["oci", "inspect", "--output", "json", "oci:layout:app"]);
        let inspected: Value = serde_json::from_slice(&run.dir(&self.dir).try_output()?.stdout)?;
        let layers = inspected["layers"].as_array().ok_or("no layers")?;
        let paths = layers.iter().filter_map(|layer| layer["digest"].as_str());
        let paths: String = paths
            .map(|digest| format!("layout/blobs/{}\n", digest.replace(':', "/")))
            .collect();
        fs::write(self.dir.join("layers"), paths)?;
        Ok(())
    }
}
