/* What the scripted upstream says: OpenAI's chunks and Anthropic's events, in the bytes of the real APIs. */

#include "upstream.h"
#include "wire.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void piece(struct peer *peer, const char *format, ...) {
    char text[4096], size[16];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    append(&peer->out, size, (size_t)sprintf(size, "%x\r\n", length));
    append(&peer->out, text, (size_t)length);
    append(&peer->out, "\r\n", 2);
}

/* Return the words of one chunk, with its mark. */
static const char *words(int number) {
    static const char *spoken[] = {" well", " now", " Tuesday", " at", " half", " past", " nine", " then"};
    static char text[48];
    sprintf(text, "%s" MARK_FORMAT, spoken[number % 8], number, (unsigned long long)(now_us() & MICROSECONDS_MASK));
    return text;
}

static const char *all_words(int chunks) {
    static char text[2048];
    int length = 0;
    for (int i = 0; i < chunks && length < 2000; i++) length += sprintf(text + length, "%s", words(i));
    return text;
}

#define OPENAI_HEAD "\"id\":\"chatcmpl-bench%018lu\",\"object\":\"chat.completion%s\",\"created\":1795000000,\"model\":\"%s\""
#define OPENAI_TAIL "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_bench0001\""
#define OPENAI_USAGE                                                                                                   \
    "\"usage\":{\"prompt_tokens\":60,\"completion_tokens\":%d,\"total_tokens\":%d,\"prompt_tokens_details\":"            \
    "{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,"                    \
    "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"

static void openai_chunk(struct peer *peer, const char *delta, const char *finish) {
    piece(peer,
          "data: {" OPENAI_HEAD "," OPENAI_TAIL ",\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,"
          "\"finish_reason\":%s}],%s\"obfuscation\":\"k3Jx9Qe\"}\n\n",
          peer->number, ".chunk", peer->model, delta, finish, peer->usage ? "\"usage\":null," : "");
}

static void openai_end(struct peer *peer) {
    openai_chunk(peer, "", "\"stop\"");
    if (peer->usage)
        piece(peer, "data: {" OPENAI_HEAD "," OPENAI_TAIL ",\"choices\":[]," OPENAI_USAGE "}\n\n", peer->number, ".chunk",
              peer->model, peer->chunks, peer->chunks + 60);
    piece(peer, "data: [DONE]\n\n");
}

static void anthropic_begin(struct peer *peer) {
    piece(peer,
          "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"%s\",\"id\":\"msg_bench%012lu\","
          "\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
          "\"usage\":{\"input_tokens\":60,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
          "\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\n"
          "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
          "{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
          peer->model, peer->number);
}

static void anthropic_end(struct peer *peer) {
    piece(peer,
          "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
          "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
          "\"stop_sequence\":null},\"usage\":{\"input_tokens\":60,\"cache_creation_input_tokens\":0,"
          "\"cache_read_input_tokens\":0,\"output_tokens\":%d}}\n\n"
          "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
          peer->chunks);
}

void finish(struct peer *peer) {
    (peer->anthropic ? anthropic_end : openai_end)(peer);
    append(&peer->out, "0\r\n\r\n", 5);
}

void begin(struct peer *peer) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                               "Cache-Control: no-cache\r\nx-request-id: req_bench\r\nrequest-id: req_bench\r\n"
                               "x-ratelimit-remaining-requests: 9999\r\nTransfer-Encoding: chunked\r\n\r\n";
    append(&peer->out, head, sizeof head - 1);
    if (peer->anthropic)
        anthropic_begin(peer);
    else
        openai_chunk(peer, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "null");
}

void say(struct peer *peer) {
    char delta[128];
    if (peer->anthropic) {
        piece(peer,
              "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
              "{\"type\":\"text_delta\",\"text\":\"%s\"}}\n\n",
              words(peer->sent));
    } else {
        snprintf(delta, sizeof delta, "\"content\":\"%s\"", words(peer->sent));
        openai_chunk(peer, delta, "null");
    }
    peer->sent++;
}

void reply(struct peer *peer, const char *status, const char *body) {
    char head[256];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %s\r\nContent-Type: application/json\r\nx-request-id: req_bench\r\n"
                          "request-id: req_bench\r\nContent-Length: %zu\r\n\r\n",
                          status, strlen(body));
    append(&peer->out, head, (size_t)length);
    append(&peer->out, body, strlen(body));
}

void say_all(struct peer *peer) {
    static const char openai[] = "{" OPENAI_HEAD ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                                 "\"%s\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,"
                                 "\"finish_reason\":\"stop\"}]," OPENAI_USAGE "," OPENAI_TAIL "}";
    static const char anthropic[] = "{\"model\":\"%s\",\"id\":\"msg_bench%012lu\",\"type\":\"message\",\"role\":\"assistant\","
                                    "\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],"
                                    "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":60,"
                                    "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":8}}";
    char body[4096];
    if (peer->anthropic)
        snprintf(body, sizeof body, anthropic, peer->model, peer->number, all_words(peer->chunks));
    else
        snprintf(body, sizeof body, openai, peer->number, "", peer->model, all_words(peer->chunks), peer->chunks, peer->chunks + 60);
    reply(peer, "200 OK", body);
}

