/* The tokens of words, each found once: texts repeat their words.

   WordPiece (Schuster and Nakajima, 2012) as BERT's tokenizer has it, for words of printable ASCII:
   lower case, a part for each mark of punctuation and for what stands between two, and of a part
   the longest piece of the vocabulary that it begins with, then of the rest. What else a word may
   be, it is handed back to be tokenised elsewhere, and learned from there.

   A table belongs to one thread at a time. A call gives -1 where memory ends, or where a word has more
   bytes than can be counted. Whatever kept words from being learned, a call or its caller that was
   interrupted, the next call begins with an empty table. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 /* raised with every change of what is called, and with what */ };
enum { SIMPLE_FROM = 0x21, SIMPLE_TO = 0x7e };
enum { TOGETHER = 32 /* words whose memory comes at once */ };
enum { KEPT = 1 << 20 /* words of texts, whose memory is kept for the next texts */ };
enum { HEAD = 16 /* bytes of a key that stand in its entry, and that can be read behind any key */ };

struct key {
    uint64_t head[2]; /* the first bytes, zeros after the last */
    const char *letters;
    int64_t size;
    uint32_t hash;
};

struct entry {
    uint64_t head[2];
    int64_t at;    /* of a key longer than its head, the place of its bytes in the map's */
    int64_t first; /* of a word, its first token, of so many; of a piece, its id */
    int32_t size, tokens;
};

struct slot {
    uint32_t hash, number; /* of an entry and one, 0 where there is none */
};

struct map {
    uint64_t seed; /* of the hashes: another one in each table */
    char *letters;
    int64_t used, room;
    struct entry *entries;
    int64_t count, entry_room;
    struct slot *slots;
    int64_t slot_count;
};

struct token {
    int32_t id, start, end; /* code points of its word */
};

/* A word of the texts: which one, and where it begins, in code points of its text. */
struct place {
    uint32_t word;
    int64_t begin;
};

/* A word that is not known: which one, and where it stands, in bytes of all texts. */
struct stranger {
    int64_t word, at, size;
};

struct table {
    struct map words, pieces;
    struct token *tokens;
    int64_t count, room;
    int64_t letters; /* bytes of all words */
    int64_t half;    /* whether there may be words whose tokens are not known */
    /* What the last texts were: their words, how many each text has, and those not known. */
    struct place *places;
    int64_t place_count, place_room;
    int64_t *words_of, texts, text_room;
    struct stranger *strangers;
    int64_t stranger_count, stranger_room;
    /* The vocabulary, once it is given. */
    int64_t given, unknown, longest_part, longest_piece, lowercase;
    char *prefix;
    int64_t prefix_size;
    uint8_t elsewhere[128]; /* with one of these, a word is tokenised elsewhere */
};

/* 0 on a CPU whose bytes stand in another order than `key_of` takes them in. */
int64_t layout(void) {
    const uint16_t one = 1;
    const int64_t version = (int64_t)VERSION << 32 | (int64_t)sizeof(struct stranger);
    return *(const uint8_t *)&one ? version : 0;
}

/* ---- Maps --------------------------------------------------------------------------------- */

/* Room for `needed` of `size` bytes at the pointer `array`; 0 where there is none. */
static int grow(void *array, int64_t *room, int64_t needed, int64_t size) {
    if (needed <= *room)
        return 1;
    int64_t wanted = needed + needed / 2 + 64;
    void *grown;
    memcpy(&grown, array, sizeof grown);
    grown = realloc(grown, (size_t)(wanted * size));
    if (!grown)
        return 0;
    memcpy(array, &grown, sizeof grown);
    *room = wanted;
    return 1;
}
#define GROW(array, room, needed) grow(&(array), &(room), needed, sizeof *(array))

static uint64_t mixed(uint64_t hash, uint64_t bits) {
    hash = (hash ^ bits) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 32) * 0xc4ceb9fe1a85ec53u;
    return hash ^ hash >> 29;
}

/* HEAD bytes after the key's first can be read, whatever they are. */
static struct key key_of(const struct map *map, const char *letters, int64_t size) {
    struct key key = {.letters = letters, .size = size};
    memcpy(key.head, letters, HEAD);
    if (size < 8)
        key.head[0] &= ((uint64_t)1 << 8 * size) - 1, key.head[1] = 0;
    else if (size < HEAD)
        key.head[1] &= ((uint64_t)1 << 8 * (size - 8)) - 1;
    uint64_t hash = mixed(mixed(map->seed ^ (uint64_t)size, key.head[0]), key.head[1]);
    for (int64_t at = HEAD; at < size; at += 8) {
        uint64_t bits = 0;
        memcpy(&bits, letters + at, (size_t)(size - at < 8 ? size - at : 8));
        hash = mixed(hash, bits);
    }
    key.hash = (uint32_t)hash;
    return key;
}

/* The slot of a key, or the empty one where it would be. */
static struct slot *slot_of(const struct map *map, const struct key *key) {
    const uint64_t mask = (uint64_t)map->slot_count - 1;
    for (uint64_t at = key->hash & mask;; at = (at + 1) & mask) {
        struct slot *slot = &map->slots[at];
        if (!slot->number)
            return slot;
        if (slot->hash != key->hash)
            continue;
        const struct entry *entry = &map->entries[slot->number - 1];
        if (entry->size == key->size && entry->head[0] == key->head[0]
            && entry->head[1] == key->head[1]
            && (key->size <= HEAD
                || !memcmp(map->letters + entry->at, key->letters, (size_t)key->size)))
            return slot;
    }
}

static const struct entry *known(const struct map *map, const char *letters, int64_t size) {
    if (!map->slot_count)
        return 0;
    const struct key key = key_of(map, letters, size);
    const struct slot *slot = slot_of(map, &key);
    return slot->number ? &map->entries[slot->number - 1] : 0;
}

/* Half of the slots stay empty. */
static int widen(struct map *map) {
    if (map->slot_count > 2 * (map->count + 1))
        return 1;
    const int64_t count = map->slot_count ? 4 * map->slot_count : 1 << 12;
    struct slot *slots = calloc((size_t)count, sizeof *slots);
    if (!slots)
        return 0;
    for (int64_t i = 0; i < map->slot_count; i++) {
        const struct slot *old = &map->slots[i];
        if (!old->number)
            continue;
        uint64_t at = old->hash & ((uint64_t)count - 1);
        while (slots[at].number)
            at = (at + 1) & ((uint64_t)count - 1);
        slots[at] = *old;
    }
    free(map->slots);
    map->slots = slots, map->slot_count = count;
    return 1;
}

/* The entry of a key, made where there is none, and then `*is_new`; null where memory ends. */
static struct entry *entry_of(struct map *map, const struct key *key, int *is_new) {
    *is_new = 0;
    if (!widen(map))
        return 0;
    struct slot *slot = slot_of(map, key);
    if (slot->number)
        return &map->entries[slot->number - 1];
    if (key->size > INT32_MAX || map->count >= INT32_MAX
        || !GROW(map->entries, map->entry_room, map->count + 1))
        return 0;
    struct entry *entry = &map->entries[map->count];
    *entry = (struct entry){.head = {key->head[0], key->head[1]}, .size = (int32_t)key->size};
    if (key->size > HEAD) {
        if (!GROW(map->letters, map->room, map->used + key->size))
            return 0;
        memcpy(map->letters + map->used, key->letters, (size_t)key->size);
        entry->at = map->used;
        map->used += key->size;
    }
    *slot = (struct slot){key->hash, (uint32_t)++map->count};
    *is_new = 1;
    return entry;
}

/* Have the memory come that `entry_of` will look at: the slot, then the entry. */
static void fetch_slot(const struct map *map, const struct key *key) {
    if (map->slot_count)
        __builtin_prefetch(&map->slots[key->hash & ((uint64_t)map->slot_count - 1)]);
}

static void fetch_entry(const struct map *map, const struct key *key) {
    if (!map->slot_count)
        return;
    const struct slot *slot = &map->slots[key->hash & ((uint64_t)map->slot_count - 1)];
    if (slot->number)
        __builtin_prefetch(&map->entries[slot->number - 1]);
}

static void clear(struct map *map) {
    free(map->letters), free(map->entries), free(map->slots);
    *map = (struct map){.seed = map->seed};
}

/* ---- The table ---------------------------------------------------------------------------- */

struct table *make_table(uint64_t seed) {
    struct table *table = calloc(1, sizeof *table);
    if (table)
        table->words.seed = table->pieces.seed = seed;
    return table;
}

static void forget_texts(struct table *table) {
    table->place_count = table->texts = table->stranger_count = 0;
    if (table->place_room <= KEPT && table->text_room <= KEPT)
        return;
    free(table->places), free(table->words_of), free(table->strangers);
    table->places = 0, table->words_of = 0, table->strangers = 0;
    table->place_room = table->text_room = table->stranger_room = 0;
}

/* Know no word. The vocabulary stays. */
void empty_table(struct table *table) {
    clear(&table->words);
    free(table->tokens);
    table->tokens = 0;
    table->count = table->room = table->letters = table->half = 0;
    forget_texts(table);
}

void free_table(struct table *table) {
    empty_table(table);
    clear(&table->pieces);
    free(table->places), free(table->words_of), free(table->strangers), free(table->prefix);
    free(table);
}

/* `count` pieces, one after the other in `letters`, with their `sizes` and `ids`; behind them and
   behind the `prefix`, HEAD bytes that can be read. A part of more than `longest_part` letters, or
   one that the vocabulary has no pieces for, is `unknown`. -1 where memory ends. */
int64_t give_vocabulary(
    struct table *table, const char *letters, const int64_t *sizes, const int64_t *ids,
    int64_t count, const char *prefix, int64_t prefix_size, int64_t unknown, int64_t longest_part,
    int64_t lowercase, const uint8_t *elsewhere) {
    int is_new;
    for (int64_t i = 0; i < count; letters += sizes[i++]) {
        const struct key key = key_of(&table->pieces, letters, sizes[i]);
        struct entry *piece = entry_of(&table->pieces, &key, &is_new);
        if (!piece)
            return -1;
        piece->first = ids[i];
        if (table->longest_piece < sizes[i])
            table->longest_piece = sizes[i];
    }
    /* Before the longest piece, the prefix: what is looked for stands behind it. */
    free(table->prefix);
    table->prefix = calloc((size_t)(prefix_size + table->longest_piece + HEAD), 1);
    if (!table->prefix)
        return -1;
    memcpy(table->prefix, prefix, (size_t)prefix_size);
    memcpy(table->elsewhere, elsewhere, sizeof table->elsewhere);
    table->prefix_size = prefix_size, table->unknown = unknown;
    table->longest_part = longest_part, table->lowercase = lowercase;
    table->given = 1;
    return 0;
}

static int add_token(struct table *table, int64_t id, int64_t start, int64_t end) {
    if (!GROW(table->tokens, table->room, table->count + 1))
        return 0;
    table->tokens[table->count++] = (struct token){(int32_t)id, (int32_t)start, (int32_t)end};
    return 1;
}

static int is_simple(const struct table *table, const char *word, int64_t size) {
    for (int64_t i = 0; i < size; i++) {
        uint8_t letter = (uint8_t)word[i];
        if (letter < SIMPLE_FROM || letter > SIMPLE_TO || table->elsewhere[letter])
            return 0;
    }
    return 1;
}

static int is_mark(char letter) {
    return (letter >= 33 && letter <= 47) || (letter >= 58 && letter <= 64)
        || (letter >= 91 && letter <= 96) || (letter >= 123 && letter <= 126);
}

static char lowered(const struct table *table, char letter) {
    return table->lowercase && letter >= 'A' && letter <= 'Z' ? (char)(letter + 32) : letter;
}

/* The tokens of what stands between marks, or of one; 0 where memory ends. */
static int add_part(struct table *table, const char *word, int64_t start, int64_t end) {
    const int64_t before = table->count;
    if (end - start > table->longest_part)
        return add_token(table, table->unknown, start, end);
    for (int64_t from = start; from < end;) {
        /* Only the first piece of a part has no prefix. */
        int64_t skipped = from == start ? 0 : table->prefix_size;
        int64_t most = end - from;
        if (most > table->longest_piece)
            most = table->longest_piece;
        char *sought = table->prefix + table->prefix_size;
        for (int64_t i = 0; i < most; i++)
            sought[i] = lowered(table, word[from + i]);
        const struct entry *piece = 0;
        while (most && !(piece = known(&table->pieces, sought - skipped, skipped + most)))
            most--;
        if (!piece) {
            table->count = before;
            return add_token(table, table->unknown, start, end);
        }
        if (!add_token(table, piece->first, from, from + most))
            return 0;
        from += most;
    }
    return 1;
}

static int add_tokens(struct table *table, const char *word, int64_t size) {
    int64_t start = 0;
    for (int64_t i = 0; i < size; i++) {
        if (!is_mark(word[i]))
            continue;
        if (!add_part(table, word, start, i) || !add_part(table, word, i, i + 1))
            return 0;
        start = i + 1;
    }
    return add_part(table, word, start, size);
}

/* ---- Texts -------------------------------------------------------------------------------- */

static int parts_words(char letter) {
    return letter == ' ' || letter == '\n' || letter == '\t' || letter == '\r';
}

/* Take a word apart that has come for the first time, or leave it to be learned; 0 where memory
   ends. */
static int meet(struct table *table, struct entry *word, const char *texts, int64_t at) {
    table->letters += word->size;
    if (!table->given || !is_simple(table, texts + at, word->size)) {
        if (!GROW(table->strangers, table->stranger_room, table->stranger_count + 1))
            return 0;
        table->strangers[table->stranger_count++] =
            (struct stranger){word - table->words.entries, at, word->size};
        return 1;
    }
    word->first = table->count;
    if (!add_tokens(table, texts + at, word->size))
        return 0;
    word->tokens = (int32_t)(table->count - word->first);
    return 1;
}

/* The next words of a text from `at` on, TOGETHER at most, and how many: where each begins and, of
   these bytes, how many begin no code point. */
struct found {
    struct key key;
    int64_t at, inner;
};

static int64_t next_words(
    const struct map *map, const char *letters, int64_t *at, int64_t end, struct found *words) {
    int64_t count = 0;
    while (*at < end && count < TOGETHER) {
        if (parts_words(letters[*at])) {
            ++*at;
            continue;
        }
        struct found *word = &words[count++];
        word->at = *at, word->inner = 0;
        for (; *at < end && !parts_words(letters[*at]); ++*at)
            word->inner += (letters[*at] & 0xc0) == 0x80;
        word->key = key_of(map, letters + word->at, *at - word->at);
        fetch_slot(map, &word->key);
    }
    for (int64_t i = 0; i < count; i++)
        fetch_entry(map, &words[i].key);
    return count;
}

/* Find the words of `count` texts, one after the other in `letters`, UTF-8, each of so many bytes as
   `sizes` says, and HEAD bytes that can be read behind the last. All words are forgotten before
   where they have more than `most` tokens, or `most_letters` bytes. What stands behind `enough`
   tokens of a text may be left out. Returns how many words must be learned before the tokens can be
   written; -1 where memory ends. */
int64_t look_up(
    struct table *table, const char *letters, const int64_t *sizes, int64_t count, int64_t most,
    int64_t most_letters, int64_t enough) {
    if (table->half || table->count > most || table->letters > most_letters)
        empty_table(table);
    forget_texts(table);
    table->half = 1;
    if (!GROW(table->words_of, table->text_room, count))
        return -1;
    struct found words[TOGETHER];
    int64_t first = 0;
    for (int64_t text = 0; text < count; first += sizes[text++]) {
        const int64_t end = first + sizes[text], before = table->place_count;
        int64_t at = first, some, tokens = 0, behind = 0; /* bytes that begin no code point */
        while (tokens < enough && (some = next_words(&table->words, letters, &at, end, words))) {
            if (!GROW(table->places, table->place_room, table->place_count + some))
                return -1;
            for (int64_t i = 0; i < some; i++) {
                int is_new;
                struct entry *word = entry_of(&table->words, &words[i].key, &is_new);
                if (!word || (is_new && !meet(table, word, letters, words[i].at)))
                    return -1;
                table->places[table->place_count++] = (struct place){
                    (uint32_t)(word - table->words.entries), words[i].at - first - behind};
                behind += words[i].inner;
                tokens += word->tokens;
            }
        }
        table->words_of[text] = table->place_count - before;
    }
    table->texts = count;
    table->half = table->stranger_count > 0;
    return table->stranger_count;
}

/* The words that must be learned, in this order. */
const struct stranger *strangers(const struct table *table) {
    return table->strangers;
}

/* Their tokens, `sizes` of each, one after the other: `ids`, and `spans` [start, end) in code points
   of the word. -1 where memory ends. */
int64_t learn(
    struct table *table, const int64_t *sizes, const int64_t *ids, const int64_t *spans) {
    for (int64_t i = 0; i < table->stranger_count; i++) {
        struct entry *word = &table->words.entries[table->strangers[i].word];
        word->first = table->count;
        for (int64_t token = 0; token < sizes[i]; token++, ids++, spans += 2)
            if (!add_token(table, *ids, spans[0], spans[1]))
                return -1;
        word->tokens = (int32_t)sizes[i];
    }
    table->half = 0;
    return 0;
}

/* How many tokens the texts have, as far as they were looked up. */
int64_t count_tokens(const struct table *table) {
    int64_t all = 0;
    for (int64_t i = 0; i < table->place_count; i++)
        all += table->words.entries[table->places[i].word].tokens;
    return all;
}

/* The `count` tokens of the texts: all ids, then where each starts in its text, then where each
   ends, in code points; then how many each text has. */
void write_tokens(const struct table *table, int64_t count, int64_t *tokens) {
    int64_t *ids = tokens, *sizes = tokens + 3 * count;
    const struct place *place = table->places;
    for (int64_t text = 0; text < table->texts; text++) {
        const int64_t *before = ids;
        for (int64_t i = 0; i < table->words_of[text]; i++, place++) {
            const struct entry *word = &table->words.entries[place->word];
            const struct token *token = table->tokens + word->first;
            for (int32_t n = 0; n < word->tokens; n++, token++, ids++) {
                ids[0] = token->id;
                ids[count] = token->start + place->begin;
                ids[2 * count] = token->end + place->begin;
            }
        }
        sizes[text] = ids - before;
    }
}

/* The ids of each text between `before` and `after`: its first `room`, or its last where it is cut on
   the `left`; `pad` alone where there is none. How many each has goes to `sizes`; returns how many
   there are. */
int64_t write_framed(
    const struct table *table, int64_t room, int64_t left, const int64_t *before,
    int64_t before_count, const int64_t *after, int64_t after_count, int64_t pad, int64_t *ids,
    int64_t *sizes) {
    const int64_t *first = ids;
    const struct place *place = table->places;
    for (int64_t text = 0; text < table->texts; text++) {
        const int64_t *start = ids, words = table->words_of[text];
        int64_t skipped = 0, kept = room;
        if (left) {
            for (int64_t i = 0; i < words; i++)
                skipped += table->words.entries[place[i].word].tokens;
            skipped = skipped > room ? skipped - room : 0;
        }
        memcpy(ids, before, (size_t)before_count * sizeof *ids);
        ids += before_count;
        for (int64_t i = 0; i < words && kept; i++) {
            const struct entry *word = &table->words.entries[place[i].word];
            const struct token *token = table->tokens + word->first;
            for (int32_t n = 0; n < word->tokens && kept; n++, token++) {
                if (skipped) {
                    skipped--;
                    continue;
                }
                *ids++ = token->id;
                kept--;
            }
        }
        place += words;
        memcpy(ids, after, (size_t)after_count * sizeof *ids);
        ids += after_count;
        if (ids == start)
            *ids++ = pad;
        sizes[text] = ids - start;
    }
    return ids - first;
}
