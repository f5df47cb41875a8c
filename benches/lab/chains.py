#!/usr/bin/env python3
"""mapping.txt -> filter-chains/bench.toml: the lab's mapping as a real record of rhumb.

    ./chains.py > filter-chains/bench.toml

wss-primary's own chain over two stacks in every PoP, so that nothing is left out that production has: the
split of each PoP (all to the first stack), health, load and distance. Each PoP is tagged with the countries
the mapping gives it; the default PoP comes first, because the record's order is what an unknown client gets.
"""

import csv
import pathlib

HERE = pathlib.Path(__file__).parent
COUNTRIES = HERE / "../../geoip/countries.csv"

# Where the PoPs stand: country, latitude, longitude.
PLACES = {
    "us": ("US", 38.95, -77.45), "sao": ("BR", -23.55, -46.63), "fra": ("DE", 50.11, 8.68),
    "lon": ("GB", 51.51, -0.13), "jnb": ("ZA", -26.20, 28.05), "tyo": ("JP", 35.68, 139.69),
    "sin": ("SG", 1.35, 103.82), "syd": ("AU", -33.87, 151.21),
}


def main():
    addresses, by_continent, by_country, default = {}, {}, {}, None
    for line in (HERE / "mapping.txt").read_text().splitlines():
        kind, *words = line.split()
        match kind:
            case "pop":
                addresses[words[0]] = words[1:]
            case "continent":
                by_continent[words[0]] = words[1]
            case "country":
                by_country[words[0]] = words[1]
            case "default":
                default = words[0]

    countries = {pop: [] for pop in addresses}
    with open(COUNTRIES) as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            pop = by_country.get(row["country"]) or by_continent[row["continent"]]
            countries[pop].append(row["country"])

    print("# Written by chains.py from mapping.txt.\n")
    pops = sorted(addresses, key=lambda pop: pop != default)
    for pop in pops:
        country, latitude, longitude = PLACES[pop]
        print(f'[pop.{pop}]\ncountry = "{country}"\nlatitude = {latitude}\nlongitude = {longitude}\n')
    for pop in pops:
        tags = ", ".join(f'"{country}"' for country in countries[pop])
        # The idle stack's addresses are the others plus 100, which the lab would see as another PoP.
        idle = [prefix + str(int(last) + 100) for prefix, last in map(split_last, addresses[pop])]
        for stack, weight, stack_addresses in [("haproxy", 100, addresses[pop]), ("envoy", 0, idle)]:
            a = ", ".join(f'"{address}"' for address in stack_addresses)
            print(f'[[pool.wss.answer]]\npop = "{pop}"\nstack = "{stack}"\nweight = {weight}\na = [{a}]')
            print(f"meta = {{ up = true, country = [{tags}] }}\n")
    print('[[record]]\nname = "wss-primary.bench.test"\npool = "wss"\nttl = 60\nfilters = [')
    print('    "up",\n    "shed_load",\n    "geotarget_country",')
    print('    { filter = "select_first_n", config = { n = 1 } },\n]')


def split_last(address):
    prefix, last = address.rsplit(".", 1)
    return prefix + ".", last


if __name__ == "__main__":
    main()
