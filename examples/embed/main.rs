//! The library in a few lines: `cargo run -p examples --bin embed`.

fn main() -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join("strandline-embed");
    let replica = strandline::Replica::open(&dir)?;
    let space = replica.space("shop")?;
    let stock = space.collection("stock")?;
    stock.put("apples", "3")?;

    // A sale is one transaction: if somebody else sells in between, it is refused whole.
    let mut sale = space.begin()?;
    let apples = sale.get(&stock, "apples")?.unwrap_or_default();
    let left = String::from_utf8(apples)?.parse::<u32>()? - 1;
    sale.put(&stock, "apples", left.to_string())?;
    sale.put(&stock, "sold/1", "one apple")?;
    println!("sold, and durable as {}", sale.commit()?);

    for (key, value) in stock.scan("")? {
        println!("{key} = {}", String::from_utf8_lossy(&value));
    }
    Ok(())
}
