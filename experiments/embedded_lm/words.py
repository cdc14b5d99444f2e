"""Plain English outside the world of reviews: word lists, synonyms and a grammar of instructions about anything.

They teach copying: what an instruction says about crops or contracts must survive a crossover word for word although
the model understands none of it. Nothing here is taken from a published prompt collection.
"""

from __future__ import annotations

from random import Random

VERBS = (
    "classify identify determine decide choose select pick label mark sort rank rate judge evaluate assess examine check "
    "review read analyze consider describe explain summarize shorten rewrite translate convert correct improve simplify "
    "find extract list count compare match name state report tell write give provide produce generate answer solve "
    "predict detect recognize categorize assign group divide score estimate guess infer clarify highlight split return"
).split()
THINGS = (
    "text sentence statement article item input output passage paragraph document message comment question answer "
    "review story report letter email title headline note dialogue conversation speech poem song recipe contract law "
    "table number code program function query word phrase term example pair case record post tweet page book movie "
    "film news essay summary opinion claim fact idea argument problem task request description remark line data list "
    "paper lecture plot scene character image product topic content context reference response"
).split()
QUALITIES = (
    "main general short long clear simple correct right wrong true false given following final first last single best "
    "overall formal informal polite positive negative neutral objective subjective neat whole important relevant "
    "original new old public private local global current medical legal technical personal scientific historical "
    "political financial social economic natural common possible likely exact brief detailed careful honest great "
    "terrible okay poor strong weak"
).split()
TOPICS = (
    "sport sports business science technology tech politics health music art history travel food weather law money "
    "world culture nature education family work war peace trade energy crime religion fashion gardening farming "
    "cooking medicine physics chemistry biology economy government animals cars computers games space oceans "
    "emotion sentiment subject theme tone style meaning mood language grammar topic category class label kind type "
    "person place time date price quality truth purpose cause effect intent opinion attitude subjectivity"
).split()
OTHERS = (
    "people teacher student child friend reader writer expert doctor lawyer farmer user customer company country city "
    "school house river mountain tree bird dog cat horse fish apple bread water fire stone window door garden road train "
    "ship plane bridge tower market village island forest field winter summer spring morning evening night week month "
    "year minute hour hand head heart voice face name line point side group part number way day life thing eye place "
    "system information option options sentiment classification either both neither only without any other than more "
    "most some many few each every all none between among across during before after above below under over through "
    "against toward because although while since until unless therefore however about based using please carefully "
    "briefly quickly exactly clearly correctly simply really always never often sometimes must should can could will "
    "would may might shall need want help make take use keep leave show think know see look feel seem become begin end "
    "start stop turn move bring hold set put follow include contain express mention refer concern belong depend allow "
    "job work friend your you it its that this these those they them their we our he she his her one two three four five "
    "performed accurately categories expressing expressed determining classifying indicating whether as into from"
).split()
COMMON = (
    "able accept account act action actual add admit advice afternoon age ago agree air aim allow alone along already also "
    "amount ancient angry announce another anyone appear apply argue arm army around arrive ask aspect author available avoid "
    "award away baby back balance ball bank base beach bear beautiful been behind believe bell benefit best better big bill "
    "bit black blood blue board boat body bone born borrow both bottle bottom box branch brave break breakfast breath bright "
    "brother brown build building burn bus business busy button buy cake call calm camera camp capital car card care carry "
    "cause central century certain chair chance change characteristic charge cheap check cheese chest chief choice church "
    "circle citizen claim clean climb clock close cloth cloud club coat coffee cold collect colour column comfort common "
    "complete concern condition confirm consist contact content control cook cool copy corner cost cotton count couple course "
    "cover create criterion cross crowd cry cup current curtain cut damage dance danger dark date daughter dead deal dear "
    "death debate decade decision deep degree deliver demand design desk detail develop device difference different difficult "
    "dinner direct dirty discover discuss disease dish distance distinct doubt down draw dream dress drink drive drop dry due "
    "dust duty each ear early earn earth east eat edge education effort egg eight element else email empty enemy engine enjoy "
    "enough enter entire equal error escape essential event ever evidence exam excellent except exchange excited exist expect "
    "expensive experience express extra fact fail fair fall famous far fast father fear feature fee feeling few fight figure "
    "fill film finger finish firm fit five fix flag flat floor flow flower fly focus foot force foreign forget form format "
    "forward four frame free fresh front fruit full fun function future gain gas gate gather gentle gift girl glad glass goal "
    "gold gone goods got grand grass green grey ground grow guard guess guest guide gun hair half hall hang happen happy hard "
    "hat hate head health hear heat heavy height help high hill hint hole holiday home hope hospital hot hotel huge human "
    "hundred hungry hurry hurt ice idea image imagine impact increase indicate industry inside instead interest into invite "
    "iron island issue joy judge jump keen key kick kid kill kitchen knee knife knock lack lady lake lamp land large last late "
    "laugh law lead leaf learn least leather left leg lend less level lie lift light limit lip listen literature little live "
    "local lock logical lonely loose lose lost lot loud love low luck lunch machine mail manner many map mass match material "
    "matter meal measure meat meet member memory mental message metal method middle might mile milk mind mine mistake mixed "
    "model modern moment month moon moral mouth much museum must narrow near neck negative network new next nice nine nobody "
    "noise none nor north nose notice novel now objective observe obtain obvious occur odd off offer office often oil old "
    "once onion open opposite optimism order organ original our out outcome outside own page pain paint pan paper parent park "
    "pass past path pattern pay pen perfect perhaps period permit pessimism phone phrase piano picture piece pink pipe plan "
    "plant plate play plenty pocket point police pool popular positive possible post pot pound power practice prefer prepare "
    "present press pretty prevent primary print prison private prize probably process produce profit progress promise proof "
    "protect proud prove public pull pupil pure purple push quarter queen quiet quite race radio rain raise range ranging rare "
    "rather reach ready real reason receive recent record red reduce refuse region regular relation relevant remain remember "
    "remove rent repair repeat replace required resource respect rest result rice rich ride right ring rise risk role roof room "
    "root rope rough round rule run safe salt same sand save say scale school science sea search season seat second secret "
    "section see seem sell send sense separate series serious serve service seven several shade shadow shape share sharp she "
    "sheet shelf shirt shock shoe shoot shop shore shout show shut sick sign silence silver similar since sing single sister "
    "sit situation six size skill skin skirt sky sleep slow small smart smell smile smoke smooth snow so soap social society "
    "soft soil soldier solution some son soon sorrow soup source south special specific speed spend spirit spoon spread square "
    "stage stair stand standard star steal steel step stick still stomach stone store storm straight strange stream street "
    "strength stress stretch strict string structure such sudden sugar suggest suit sun support suppose sure surface surprise "
    "sweet swim symbol table tail take tall taste tax tea teach team tear ten tend terrible test than thank that theater theory "
    "thick thin third thirst thousand thread throw thus ticket tie tight tiny tired together tomorrow tonight tool tooth top "
    "total touch tour toward tower track trade train travel treat tree trip trouble truck true trust try tube turn twelve twice "
    "type typical ugly uncle under understand union unit unknown up upper upset usual value various vast verb verdict view "
    "visit vote wait wake walk wall warm warn wash waste watch wave weak wear weather wedding weekend weight welcome well west "
    "wet wheel when where which while white who whole whom whose why wide wife wild win wind wine wing wise wish within wonder "
    "wood wool word worker world worry worse worst worth wound write wrong yard year yellow yesterday yet young youth zero "
    "acceptable according accordingly additional appropriate article assigned belongs broad carefully categorized choosing "
    "classes considering correspondingly describing described determined document entire evaluating exactly expression fits "
    "fourth given goal identify including indicates information instruction involves labels largely linked mainly matches "
    "meaningful mentions objective options phrase possible predefined presented primarily provided purely ratings reflects "
    "relates responsibility responsible role selecting selected shows sources specified suitable supplied tells terms underlying "
    "urgent useful using viewpoint words written"
).split()
"""Common words of plain English, each one token where the vocabulary has room: what is one token is easily copied."""
NOUNS = THINGS + TOPICS
LEXICON = sorted(set(VERBS + THINGS + QUALITIES + TOPICS + OTHERS))

# each row: words that may stand for one another; first letters may be capitals
SYNONYM_ROWS = """
classify|categorize|sort|label
determine|decide|find out|establish
identify|recognize|detect
choose|select|pick
write|put down|note
give|provide|offer
tell|say|state
answer|reply|respond
read|look at|examine|study
judge|assess|evaluate|rate
text|passage|piece of text
sentence|statement
review|comment|opinion
article|report|story
topic|subject|theme
category|class|group
label|tag
input|text
output|result
correct|right|proper
wrong|false|incorrect
given|following|provided
main|central|chief
short|brief|concise
simple|plain|easy
only|just
use|apply|take
based on|according to|by
whether|if
please|kindly
task|job
sentiment|feeling|mood
positive|favourable
negative|unfavourable
movie|film
one of|any of
into|as
buyer|reviewer|customer|writer
likes|enjoys|is fond of
product|item|thing
mentioned|named
each|every
explain|make clear
describe|portray
shorten|cut
summarize|sum up
rewrite|rephrase
find|spot
list|enumerate
return|give back
must|should|has to
your|the
carefully|with care
quickly|fast
exactly|precisely
""".strip().splitlines()
SYNONYMS: dict[str, list[str]] = {}
for _row in SYNONYM_ROWS:
    _options = _row.split("|")
    for _word in _options:
        if " " not in _word:
            SYNONYMS.setdefault(_word, []).extend(w for w in _options if w != _word)

_SYLLABLES = (
    "ba be bi bo ca co cu da de di do fa fe fi fo ga ge gi ha he hi ho ja jo ka ke ki la le li lo ma me mi mo na ne ni no "
    "pa pe pi po ra re ri ro sa se si so ta te ti to va ve vi wa we wi ya yo za ster ment tion ing ed er al ous ly ness "
    "ble ful th ch sh st tr pl gr br cl ght nd nt rk ll ss"
).split()


def pseudo(rng: Random) -> str:
    """A word that nobody has seen: two to four syllables."""
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))


def any_word(rng: Random, strange: float = 0.15) -> str:
    """A word of the lexicon, or with probability `strange` a made-up one, a number or a name."""
    r = rng.random()
    if r < strange * 0.6:
        return pseudo(rng)
    if r < strange * 0.8:
        return pseudo(rng).capitalize()
    if r < strange:
        return str(rng.randint(0, 999))
    return rng.choice(COMMON if rng.random() < 0.35 else LEXICON)


def gibberish(rng: Random, low: int = 6, high: int = 20) -> str:
    """Random words with punctuation: nothing but copying predicts them."""
    words = [any_word(rng) for _ in range(rng.randint(low, high))]
    for i in range(1, len(words) - 1):
        r = rng.random()
        if r < 0.06:
            words[i] += ","
        elif r < 0.09:
            words[i] += "."
            words[i + 1] = words[i + 1].capitalize()
        elif r < 0.13:
            words[i] = f'"{words[i]}"'
        elif r < 0.16:
            words[i] = f"'{words[i]}',"
        elif r < 0.18:
            words[i] = f"({words[i]})"
    words[0] = words[0].capitalize() if rng.random() < 0.8 else words[0]
    return " ".join(words) + rng.choice((".", ".", ".", "", "?", ":"))


def _np(rng: Random) -> str:
    head = rng.choice(NOUNS) if rng.random() < 0.85 else any_word(rng, 0.5)
    adj = rng.choice(QUALITIES) + " " if rng.random() < 0.45 else ""
    det = rng.choice(("the", "the", "a", "each", "this", "every", "your", "the given", "one"))
    return f"{det} {adj}{head}"


def _options(rng: Random) -> str:
    n = rng.randint(2, 5)
    pool = rng.choice((TOPICS, QUALITIES, THINGS, OTHERS))
    items = [rng.choice(pool) if rng.random() < 0.8 else any_word(rng, 0.6) for _ in range(n)]
    style = rng.choice((0, 1, 2, 2, 3, 3, 3, 4, 5, 6))
    if style <= 1:
        items = [i.capitalize() for i in items]
    if style == 2:
        items = [f'"{i}"' for i in items]
    if style == 3:
        return "[" + ", ".join(f"'{i}'" for i in items) + "]"
    if style == 4 and n > 2:
        return ", ".join(f"({k}) {i}" for k, i in enumerate(items, 1))
    if n == 2:
        return f"{items[0]} {rng.choice(('or', 'and'))} {items[1]}"
    return ", ".join(items[:-1]) + rng.choice((", or ", " or ", ", and ", " and ")) + items[-1]


def _clause(rng: Random) -> str:
    verb = rng.choice(VERBS)
    form = rng.randrange(12)
    if form == 0:
        return f"{verb} {_np(rng)} as {_options(rng)}"
    if form == 1:
        return f"{verb} whether {_np(rng)} is {_options(rng)}"
    if form == 2:
        return f"{verb} {_np(rng)} of {_np(rng)}"
    if form == 3:
        return f"{verb} {_np(rng)} and {rng.choice(VERBS)} {_np(rng)}"
    if form == 4:
        return f"based on {_np(rng)}, {verb} {_np(rng)}"
    if form == 5:
        return f"given {_np(rng)}, {verb} {_np(rng)} from {_options(rng)}"
    if form == 6:
        return f"{verb} {_np(rng)} into one of {rng.choice(('two', 'three', 'four', 'five'))} {rng.choice(NOUNS)}: {_options(rng)}"
    if form == 7:
        return f"{verb} the {rng.choice(TOPICS)} of {_np(rng)} (e.g. {_options(rng)})"
    if form == 8:
        return f"your {rng.choice(('task', 'job', 'work'))} is to {verb} {_np(rng)} for {_np(rng)}"
    if form == 9:
        return f"{verb} {_np(rng)} in {rng.randint(1, 9)} {rng.choice(NOUNS)} for {_np(rng)}"
    if form == 10:
        return f"{verb} what {_np(rng)} says about {_np(rng)}"
    return f"{verb} {_np(rng)} with {_np(rng)} by {_np(rng)}"


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def foreign_instruction(rng: Random) -> str:
    """An instruction about anything but reviews, one or two sentences."""
    if rng.random() < 0.12:
        return gibberish(rng)
    first = _clause(rng)
    r = rng.random()
    if r < 0.1:
        first = "please " + first
    elif r < 0.2:
        first = f"in this {rng.choice(('task', 'exercise', 'job'))}, you are given {_np(rng)}. " + capital(first)
    parts = [first]
    if rng.random() < 0.4:
        parts.append(_clause(rng))
    text = ". ".join(capital(p) for p in parts)
    if rng.random() < 0.2:
        text = text[0].lower() + text[1:]
    return text + ("." if rng.random() < 0.85 else "")


def reword(rng: Random, text: str, rate: float = 0.5, least: int = 0) -> str:
    """The text with words replaced by synonyms; at least `least` of them where it has so many."""
    words = text.split(" ")
    spots = [i for i, w in enumerate(words) if w.strip(".,:;?()\"'").lower() in SYNONYMS]
    rng.shuffle(spots)
    chosen = [s for k, s in enumerate(spots) if k < least or rng.random() < rate]
    for i in chosen:
        core = words[i].strip(".,:;?()\"'")
        new = rng.choice(SYNONYMS[core.lower()])
        words[i] = words[i].replace(core, capital(new) if core[:1].isupper() else new)
    return " ".join(words)
