//! `minkang verify-receipt`: whether the receipt of an upload still is what the platform signed.

use std::path::PathBuf;

use clap::Args;
use protect::Verdict;
use protect::sign::key_id;

use crate::Common;
use crate::commands::with_platform;

/// 核对上传回执（JSON 文件）上的平台签名
#[derive(Debug, Clone, Args)]
pub struct VerifyReceiptArgs {
    /// 回执文件：接口返回的 JSON
    pub file: PathBuf,
    /// 平台公钥（十六进制，见 GET /api/v1/signing-keys）；给出时不需要连接平台的数据库，机构可自行核对
    #[arg(long)]
    pub public_key: Option<String>,
}

/// Runs the command; an altered receipt is an error.
#[allow(clippy::print_stdout)] // the command's output
pub async fn run(common: &Common, args: VerifyReceiptArgs) -> anyhow::Result<()> {
    let text = tokio::fs::read(&args.file)
        .await
        .map_err(|e| anyhow::anyhow!("不能读取 {}：{e}", args.file.display()))?;
    let document: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|e| anyhow::anyhow!("{} 不是 JSON：{e}", args.file.display()))?;
    if !document["batch"].is_number() {
        anyhow::bail!(
            "{} 不是上传回执。请用 GET /api/v1/batches/批次号 返回的 JSON 全文。",
            args.file.display()
        );
    }
    if document["signature"].is_null() {
        anyhow::bail!("这份回执没有平台签名：批次尚未处理完，或早于签名功能。");
    }
    let check = |trusted: &dyn Fn(&str) -> Option<(String, Vec<u8>)>| {
        store::signature::check_document(&document, &exchange::batch::SIGNED, trusted)
    };
    let verdict = match &args.public_key {
        Some(digits) => {
            let key = hex::decode(digits.trim()).map_err(|e| anyhow::anyhow!("公钥应为十六进制：{e}"))?;
            // The length tells the algorithm: a point of SM2 has 65 bytes, a key of Ed25519 32.
            let algorithm = if key.len() == 65 { protect::sign::SM2_SM3 } else { protect::sign::ED25519 };
            let own = key_id(algorithm, &key);
            check(&|id| (id == own).then(|| (algorithm.to_owned(), key.clone())))?
        }
        None => {
            let mut verdict = Verdict::UnknownKey;
            with_platform(common, async |platform| {
                verdict = check(&|id| platform.vault.keyring().public_key(id))?;
                Ok(())
            })
            .await?;
            verdict
        }
    };
    match verdict {
        Verdict::Intact => {
            println!("签名有效：批次 {} 的回执与平台签发时一致。", document["batch"]);
            Ok(())
        }
        Verdict::Altered => anyhow::bail!("签名无效：批次 {} 的回执已被改动。", document["batch"]),
        Verdict::UnknownKey => anyhow::bail!("签名密钥未知：不是本平台签发的回执，或公钥不对。"),
    }
}
