//! Tells cargo that the embedded pages are an input: the embedding itself tracks only the files that were there.

fn main() {
    println!("cargo:rerun-if-changed=web/dist");
}
