"""Everyday nouns, the candidates for start words where a base model's recipe names none."""

from __future__ import annotations

NOUNS: tuple[str, ...] = tuple(
    """
    dog cat puppy kitten horse cow pig sheep goat rabbit mouse hamster squirrel fox wolf bear panda
    lion tiger elephant giraffe zebra monkey deer bird parrot owl duck goose chicken rooster penguin
    eagle flamingo fish shark whale dolphin octopus crab turtle frog snake lizard dinosaur dragon
    butterfly bee spider snail doll robot man woman boy girl child baby face hand statue figurine
    toy teddy mask puppet
    car truck bus train tram bicycle motorcycle scooter tractor boat ship sailboat airplane
    helicopter rocket balloon wheel
    house castle tower church bridge tent barn door window fence fountain lighthouse
    tree flower rose tulip sunflower cactus bush grass leaf branch mushroom plant bouquet wreath
    apple orange banana lemon pear peach grape strawberry cherry pineapple watermelon tomato carrot
    pumpkin potato pepper onion corn bread cake pie cookie doughnut sandwich burger pizza egg cheese
    candy chocolate
    cup mug glass bottle jug teapot kettle bowl plate pan pot spoon fork knife vase basket box jar
    can bucket tray candle lamp lantern
    chair armchair sofa bed table desk bench shelf cabinet drawer mirror clock rug curtain pillow
    blanket towel
    shirt dress skirt coat jacket trousers sweater scarf hat cap helmet crown shoe boot sandal sock
    glove bag backpack purse suitcase umbrella belt tie necklace ring watch glasses
    book newspaper map card letter painting poster sign flag pen pencil brush scissors
    computer laptop keyboard phone camera television radio speaker headphones
    guitar violin piano drum trumpet flute bell
    ball bat racket skateboard kite dice trophy medal
    hammer saw wrench drill shovel broom ladder rope chain key lock
    rock stone shell feather bone skull crystal coin cloud moon star snowman
    """.split()  # noqa: SIM905
)
