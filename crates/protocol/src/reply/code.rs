use super::{CodeRange, IllegalDecision};

/// A code of one's own for a refusal, from `LO` to `HI`; Chat hands it to the client together with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RejectCode<const LO: u32, const HI: u32>(u32);

impl<const LO: u32, const HI: u32> RejectCode<LO, HI> {
    /// The first code of the range.
    pub const FIRST: Self = Self(LO);

    /// A code that is known when the program is built; one outside the range does not compile.
    ///
    /// ```
    /// use chathook_protocol::reply::GroupCode;
    /// assert_eq!(GroupCode::of::<10_150>().get(), 10_150);
    /// ```
    ///
    /// ```compile_fail,E0080
    /// use chathook_protocol::reply::GroupCode;
    /// assert_eq!(GroupCode::of::<120_001>().get(), 120_001);
    /// ```
    #[must_use]
    pub const fn of<const CODE: u32>() -> Self {
        const { assert!(LO <= CODE && CODE <= HI, "code outside the range that this callback allows") };
        Self(CODE)
    }

    /// A code that is known when the program runs, or `None` for one outside the range.
    #[must_use]
    pub const fn new(code: u32) -> Option<Self> {
        if LO <= code && code <= HI { Some(Self(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Codes for one-to-one messages and official accounts. Docs: 1047/34364, 1047/60803.
pub type MessageCode = RejectCode<120_001, 130_000>;
/// Codes for groups. Docs: 1047/34374.
pub type GroupCode = RejectCode<10_100, 10_200>;
/// Codes for one friend request. Docs: 1047/43468.
pub type FriendCode = RejectCode<38_000, 39_000>;
/// Codes for gifts in live rooms. Docs: 647/72210.
pub type GiftCode = RejectCode<102_100, 102_200>;

/// Stands where a command has no codes of one's own. It has no values, so that a rejection with a code has no spelling.
///
/// ```compile_fail,E0574
/// use chathook_protocol::{desk, reply::NoCode};
/// desk::Permission::reject(NoCode {}, "no");
/// ```
///
/// ```compile_fail,E0308
/// use chathook_protocol::{desk, reply::MessageCode};
/// desk::Permission::reject(MessageCode::FIRST, "no");
/// ```
#[derive(Debug, Clone, Copy)]
pub enum NoCode {}

/// The codes that a command allows: a [`RejectCode`], or [`NoCode`].
pub trait Codes: Copy + Send + super::sealed::Sealed + 'static {
    /// The range of codes, if there is one.
    #[doc(hidden)]
    const RANGE: Option<CodeRange>;

    /// The number of the code.
    fn number(self) -> u32;
}

impl<const LO: u32, const HI: u32> super::sealed::Sealed for RejectCode<LO, HI> {}

impl<const LO: u32, const HI: u32> Codes for RejectCode<LO, HI> {
    const RANGE: Option<CodeRange> = Some(CodeRange(LO, HI));

    fn number(self) -> u32 {
        self.0
    }
}

impl<const LO: u32, const HI: u32> RejectCode<LO, HI> {
    pub(super) fn from_number(code: u32) -> Result<Self, IllegalDecision> {
        Self::new(code).ok_or_else(|| IllegalDecision::CodeOutOfRange { code, range: CodeRange(LO, HI).to_string() })
    }
}

impl super::sealed::Sealed for NoCode {}

impl Codes for NoCode {
    const RANGE: Option<CodeRange> = None;

    fn number(self) -> u32 {
        match self {}
    }
}
