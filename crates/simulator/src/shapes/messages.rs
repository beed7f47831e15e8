//! What users write: a stock of `MsgBody` values, made once.

use serde_json::{Value, json};

use crate::rng::Rng;

/// `MsgBody` values as JSON text.
#[derive(Debug)]
pub(super) struct Messages(Vec<Box<str>>);

/// How many there are: enough that neighbours differ, few enough to stay in the cache.
const STOCK: u32 = 512;

/// Chat takes no larger message.
const MAX: usize = 12_000;

const LATIN: [&str; 12] = [
    "See you at nine",
    "The early bus is full again, I take the next one.",
    "Could someone open the back door?\nI forgot my key.",
    "Thanks!",
    "ok",
    "J'arrive dans dix minutes, commencez sans moi",
    "Wer hat den Schlüssel für Raum 12?",
    "¿Quedamos mañana a las ocho?",
    "I wrote down what we said on Monday; have a look before \"final\" becomes final.",
    "Order A-17 has left the house, track it in the app.",
    "@Ben which of the two is right?",
    "The meeting is moved to 14:30 [clock]",
];

const CHINESE: [&str; 10] = [
    "明天上午九点见",
    "收到，谢谢！",
    "这个版本什么时候可以测试？",
    "我已经到楼下了，你们先开始吧。",
    "请大家查看群公告里的新安排。",
    "晚上一起吃火锅吗",
    "订单已经发货，请注意查收。",
    "好的",
    "昨天的会议记录我整理好了，放在共享文件夹里，有问题请留言。",
    "周末去爬山的同学请在下面报名",
];

const EMOJI: [&str; 6] = ["👍", "😂😂😂", "🎉 十万个祝福 🎂", "❤️", "🙏🏽 gracias", "👩‍👩‍👧 family time 🏖️"];

impl Messages {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::of(seed, 1);
        Self((0..STOCK).map(|_| message(&mut rng).into()).collect())
    }

    /// The message with that number; the numbers go round.
    pub(super) fn get(&self, number: u32) -> &str {
        self.0.get(number as usize % self.0.len().max(1)).map_or("[]", |message| message)
    }

    pub(super) fn count() -> u32 {
        STOCK
    }
}

/// `MsgBody` as Chat sends it, at most [`MAX`] bytes long.
fn message(rng: &mut Rng) -> String {
    loop {
        let elements = match rng.below(100) {
            0..62 => vec![text(rng)],
            62..68 => vec![text(rng), face(rng)],
            68..71 => vec![face(rng)],
            71..79 => vec![image(rng)],
            79..88 => vec![custom(rng)],
            88..91 => vec![sound(rng)],
            91..93 => vec![video(rng)],
            93..95 => vec![file(rng)],
            95..97 => vec![location(rng)],
            97..99 => vec![relay(rng)],
            _ => vec![stream(rng)],
        };
        let body = Value::Array(elements).to_string();
        if body.len() <= MAX {
            return body;
        }
    }
}

fn element(kind: &str, content: &Value) -> Value {
    json!({ "MsgType": kind, "MsgContent": content })
}

fn sentence(rng: &mut Rng) -> &'static str {
    match rng.below(10) {
        0..5 => rng.one_of::<&str, _>(&LATIN),
        5..9 => rng.one_of::<&str, _>(&CHINESE),
        _ => rng.one_of::<&str, _>(&EMOJI),
    }
}

/// Most messages are short; a few are as long as Chat allows.
fn words(rng: &mut Rng) -> String {
    let length = match rng.below(100) {
        0..70 => 1,
        70..93 => 120,
        93..99 => 1_000 + rng.below(3_000) as usize,
        _ => 9_000 + rng.below(2_500) as usize,
    };
    let mut words = sentence(rng).to_owned();
    while words.len() < length {
        words.push(' ');
        words.push_str(sentence(rng));
    }
    words
}

fn text(rng: &mut Rng) -> Value {
    element("TIMTextElem", &json!({ "Text": words(rng) }))
}

fn face(rng: &mut Rng) -> Value {
    let data = rng.one_of(&["cat_wave", "clap", "spoon", "rocket"]);
    element("TIMFaceElem", &json!({ "Index": rng.below(60), "Data": data }))
}

fn location(rng: &mut Rng) -> Value {
    let (latitude, longitude) = (rng.fraction() * 170.0 - 85.0, rng.fraction() * 360.0 - 180.0);
    element("TIMLocationElem", &json!({ "Desc": "the bridge", "Latitude": latitude, "Longitude": longitude }))
}

fn custom(rng: &mut Rng) -> Value {
    let data = match rng.below(3) {
        0 => json!({ "type": "order", "id": rng.below(100_000) }),
        1 => json!({ "typing": true }),
        _ => json!({ "version": 1, "card": { "title": sentence(rng), "items": [rng.below(9), rng.below(9)] } }),
    };
    let mut content = json!({ "Data": data.to_string() });
    if rng.happens(500) {
        content = json!({ "Data": data.to_string(), "Desc": "Your order", "Ext": "app://order", "Sound": "ping.caf" });
    }
    element("TIMCustomElem", &content)
}

fn id(rng: &mut Rng) -> String {
    format!("{:016x}", rng.next())
}

fn url(kind: &str, id: &str) -> String {
    format!("https://files.example.net/{kind}/{id}")
}

fn sound(rng: &mut Rng) -> Value {
    let (uuid, seconds) = (id(rng), 1 + rng.below(59));
    let content = json!({
        "Url": url("v", &uuid), "UUID": uuid, "Size": seconds * 6_700, "Second": seconds, "Download_Flag": 2,
    });
    element("TIMSoundElem", &content)
}

fn image(rng: &mut Rng) -> Value {
    let uuid = id(rng);
    let rendition = |kind: u32, size: u32, width: u32, height: u32| {
        let url = format!("{}/{width}", url("i", &uuid));
        json!({ "Type": kind, "Size": size, "Width": width, "Height": height, "URL": url })
    };
    let size = 40_000 + rng.below(2_000_000);
    let renditions = [rendition(1, size, 1280, 720), rendition(2, size / 3, 960, 540), rendition(3, 7_001, 198, 111)];
    let format = *rng.one_of(&[1, 2, 3, 255]);
    element("TIMImageElem", &json!({ "UUID": uuid, "ImageFormat": format, "ImageInfoArray": renditions }))
}

fn file(rng: &mut Rng) -> Value {
    let uuid = id(rng);
    let name = rng.one_of(&["plan.pdf", "会议记录.docx", "prices 2026 (new).xlsx"]);
    let content = json!({
        "Url": url("f", &uuid), "UUID": uuid, "FileSize": 1_000 + rng.below(90_000_000), "FileName": name,
        "Download_Flag": 2,
    });
    element("TIMFileElem", &content)
}

fn video(rng: &mut Rng) -> Value {
    let (video, thumb) = (id(rng), id(rng));
    let content = json!({
        "VideoUrl": url("m", &video), "VideoUUID": video, "VideoSize": 900_000 + rng.below(9_000_000),
        "VideoSecond": 1 + rng.below(120), "VideoFormat": "mp4", "VideoDownloadFlag": 2, "ThumbUrl": url("t", &thumb),
        "ThumbUUID": thumb, "ThumbSize": 8_012, "ThumbWidth": 540, "ThumbHeight": 960, "ThumbFormat": "JPG",
        "ThumbDownloadFlag": 2,
    });
    element("TIMVideoFileElem", &content)
}

fn relay(rng: &mut Rng) -> Value {
    let count = 2 + rng.below(8);
    let messages: Vec<_> = (0..count)
        .map(|i| {
            let (seq, random) = (80 + i, rng.next_u32());
            json!({
                "From_Account": format!("u_{}", rng.below(1_000)), "GroupId": "@TGS#2KX7QWPLM", "MsgSeq": seq,
                "MsgRandom": random, "MsgTimeStamp": 1_718_060_001 + i,
                "MsgBody": [{ "MsgType": "TIMTextElem", "MsgContent": { "Text": sentence(rng) } }],
            })
        })
        .collect();
    let content = json!({
        "Title": "Chat of the team", "MsgNum": count, "CompatibleText": "Please update the app.",
        "AbstractList": ["Mara: ready?", "Ben: yes"], "MsgList": messages,
    });
    element("TIMRelayElem", &content)
}

fn stream(rng: &mut Rng) -> Value {
    let chunk = |index: u32, is_last: bool, text: &str| json!({ "EventType": "data", "Index": index, "Markdown": text, "IsLast": is_last });
    let chunks = [chunk(1, false, "The **answer** "), chunk(2, true, sentence(rng))];
    let content = json!({
        "Chunks": chunks, "CompatibleText": "The answer needs a newer app.", "StreamMsgID": format!("st_{}", rng.below(99_999)),
    });
    element("TIMStreamElem", &content)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chathook_protocol::MsgContent;
    use serde_json::Value;

    use super::{MAX, Messages};

    #[test]
    fn the_stock_has_every_element_several_languages_and_all_sizes() {
        let messages = Messages::new(1);
        let all: Vec<_> = (0..Messages::count()).map(|i| messages.get(i)).collect();
        let kinds: BTreeSet<String> = all
            .iter()
            .flat_map(|body| serde_json::from_str::<Vec<Value>>(body).unwrap())
            .map(|element| element["MsgType"].as_str().unwrap().to_owned())
            .collect();
        let known: BTreeSet<String> = MsgContent::KINDS.iter().map(|kind| (*kind).to_owned()).collect();
        assert_eq!(kinds, known);
        assert!(all.iter().any(|body| body.contains("谢谢")) && all.iter().any(|body| body.contains('👍')));
        assert!(all.iter().any(|body| body.len() < 80) && all.iter().any(|body| body.len() > 9_000));
        assert!(all.iter().all(|body| body.len() <= MAX));
    }
}
