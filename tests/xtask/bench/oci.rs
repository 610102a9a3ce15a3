//! A container image of five layers flattened to ext4, against decompressing its layers and against umoci.

use std::fs;

use forger_tests::images;
use forger_tests::process::Run;
use serde_json::Value;

use super::report::Report;
use super::{Bench, measure};
use crate::Outcome;

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
        let output = self.out("output");
        let run = Run::new(&self.forger).args(["mkfs", "-q", "--force", "oci:layout:app"]);
        let run = run.arg(&output).dir(&self.dir).limit(600);
        report.memory("mkfs oci:, 5 layers", measure::peak_memory(run)?);
        fs::remove_file(output)?;
        Run::new("bash")
            .args(["-euc", "rm -rf bundle-*"])
            .dir(&self.dir)
            .limit(600)
            .try_output()?;
        Ok(())
    }

    fn image(&self) -> Outcome {
        self.inputs.extract()?;
        images::split(&self.inputs.folder, &self.dir)?;
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
