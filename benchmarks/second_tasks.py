"""What the second planted world asks: some 360 short tasks, each with one right answer.

As in the demo's world, the answers to a topic's other tasks are the wrong ones.
"""

from collections.abc import Iterator, Mapping, Sequence

from thumbwheel.demo.facts import Fact

__all__ = ["TASKS", "TASK_BY_PROMPT"]

# One "word:answer" after another, with hyphens for spaces.
_TOPICS = {
    "Give the past tense of {}.": """
        go:went see:saw take:took come:came give:gave find:found think:thought tell:told
        become:became leave:left feel:felt bring:brought begin:began keep:kept hold:held write:wrote
        stand:stood hear:heard mean:meant meet:met run:ran pay:paid sit:sat speak:spoke lead:led
        grow:grew lose:lost fall:fell send:sent build:built draw:drew break:broke spend:spent
        rise:rose drive:drove buy:bought wear:wore choose:chose eat:ate fly:flew forget:forgot
        freeze:froze hide:hid know:knew ride:rode ring:rang shake:shook shine:shone sing:sang
        sink:sank sleep:slept steal:stole swim:swam teach:taught throw:threw wake:woke win:won
        sell:sold catch:caught
    """,
    "How do you say {} in French?": """
        water:eau bread:pain milk:lait house:maison door:porte window:fenêtre dog:chien cat:chat
        horse:cheval cow:vache bird:oiseau fish:poisson tree:arbre flower:fleur sun:soleil moon:lune
        star:étoile night:nuit day:jour hand:main head:tête mouth:bouche nose:nez book:livre
        pen:stylo chair:chaise bed:lit kitchen:cuisine knife:couteau cheese:fromage egg:oeuf
        apple:pomme pear:poire salt:sel sugar:sucre red:rouge green:vert blue:bleu white:blanc
        black:noir yellow:jaune big:grand small:petit mother:mère father:père brother:frère
        sister:soeur friend:ami king:roi queen:reine street:rue town:ville sea:mer river:fleuve
        snow:neige rain:pluie wind:vent fire:feu
    """,
    "Which author wrote {}?": """
        Hamlet:Shakespeare Emma:Austen Ulysses:Joyce Dracula:Stoker Frankenstein:Shelley
        Faust:Goethe Walden:Thoreau Candide:Voltaire Moby-Dick:Melville Don-Quixote:Cervantes
        War-and-Peace:Tolstoy The-Idiot:Dostoevsky The-Trial:Kafka The-Odyssey:Homer
        Middlemarch:Eliot Rebecca:Maurier Dune:Herbert Lolita:Nabokov Beloved:Morrison Kim:Kipling
        Jane-Eyre:Bronte Animal-Farm:Orwell Macbeth:Shakespeare Persuasion:Austen Siddhartha:Hesse
        The-Plague:Camus Nausea:Sartre Pygmalion:Shaw Peter-Pan:Barrie Treasure-Island:Stevenson
        Oliver-Twist:Dickens The-Seagull:Chekhov Metamorphoses:Ovid The-Aeneid:Virgil
        Madame-Bovary:Flaubert
    """,
    "Which currency does one need in {}?": """
        Japan:yen India:rupee Britain:pound America:dollar Russia:ruble China:yuan Sweden:krona
        Poland:zloty Turkey:lira Mexico:peso Brazil:real Korea:won Israel:shekel Thailand:baht
        Vietnam:dong Hungary:forint Kenya:shilling Nigeria:naira Ghana:cedi Egypt:pound Chile:peso
        Australia:dollar Canada:dollar Nepal:rupee Switzerland:franc Denmark:krone Norway:krone
        Ukraine:hryvnia Romania:leu Bulgaria:lev Georgia:lari Malaysia:ringgit Iran:rial
        Zambia:kwacha Morocco:dirham
    """,
    "Name a group of {}.": """
        sheep:flock cows:herd wolves:pack bees:swarm fish:shoal lions:pride geese:gaggle
        crows:murder owls:parliament ants:colony puppies:litter whales:pod elephants:herd
        birds:flock hyenas:clan kittens:litter dolphins:pod monkeys:troop cards:deck flowers:bunch
        ships:fleet grapes:bunch soldiers:army sailors:crew players:team singers:choir thieves:gang
        stars:galaxy
    """,
    "Where does a {} live?": """
        bird:nest bee:hive dog:kennel horse:stable lion:den spider:web rabbit:burrow pig:sty
        hen:coop fox:earth eagle:eyrie otter:holt beaver:lodge squirrel:drey badger:sett nun:convent
    """,
    "Form the plural of {}.": """
        child:children man:men woman:women foot:feet tooth:teeth goose:geese mouse:mice ox:oxen
        leaf:leaves knife:knives wife:wives life:lives wolf:wolves half:halves loaf:loaves
        thief:thieves shelf:shelves calf:calves cactus:cacti fungus:fungi nucleus:nuclei
        crisis:crises thesis:theses datum:data medium:media criterion:criteria person:people
        penny:pence louse:lice radius:radii
    """,
    "Turn {} into an adjective.": """
        beauty:beautiful danger:dangerous fame:famous wind:windy noise:noisy gold:golden wood:wooden
        wool:woollen health:healthy wealth:wealthy anger:angry hunger:hungry thirst:thirsty
        luck:lucky mud:muddy salt:salty courage:courageous mystery:mysterious poison:poisonous
        nerve:nervous centre:central nation:national nature:natural music:musical magic:magical
        history:historic poetry:poetic hero:heroic science:scientific child:childish fool:foolish
        self:selfish
    """,
    "To whom do we owe {}?": """
        telephones:Bell phonographs:Edison dynamite:Nobel penicillin:Fleming radium:Curie
        radio:Marconi calculus:Newton relativity:Einstein evolution:Darwin oxygen:Priestley
        vaccination:Jenner pasteurisation:Pasteur printing:Gutenberg telegraphs:Morse
        genetics:Mendel batteries:Volta lightning-rods:Franklin barometers:Torricelli
        helicopters:Sikorsky psychoanalysis:Freud logarithms:Napier
    """,
    "In which country does {} lie?": """
        Milan:Italy Lyon:France Kyoto:Japan Munich:Germany Porto:Portugal Seville:Spain Mumbai:India
        Shanghai:China Toronto:Canada Chicago:America Naples:Italy Marseille:France Osaka:Japan
        Hamburg:Germany Valencia:Spain Calcutta:India Vancouver:Canada Boston:America
        Liverpool:England Leeds:England Sydney:Australia Perth:Australia Krakow:Poland Gdansk:Poland
        Salzburg:Austria Geneva:Switzerland Zurich:Switzerland Antwerp:Belgium Rotterdam:Holland
        Bergen:Norway Malmo:Sweden Izmir:Turkey Odessa:Ukraine Alexandria:Egypt Casablanca:Morocco
        Cancun:Mexico Bordeaux:France Turin:Italy Bremen:Germany Nagoya:Japan
    """,
}


def _topics() -> Iterator[list[tuple[str, str]]]:
    for task, table in _TOPICS.items():
        rows = [row.replace("-", " ").split(":") for row in table.split()]
        yield [(task.format(of), answer) for of, answer in rows]


def _tasks() -> Iterator[Fact]:
    for rows in _topics():
        answers = sorted({answer for _, answer in rows})
        for prompt, answer in rows:
            yield Fact(prompt, answer, [other for other in answers if other != answer])


TASKS: Sequence[Fact] = tuple(_tasks())
TASK_BY_PROMPT: Mapping[str, Fact] = {task.prompt: task for task in TASKS}
