/* The style sheet carries the whole look: two sets of colour variables, a grid whose figures take
 * one column and everything else the full width (so that charts need no wrapper), and tables that
 * scroll inside their own box, where headings and first column stay in sight. */
#include "report/page.h"

/* Series colours after Okabe & Ito, "Color Universal Design" (2008), without the yellow, which is
 * too faint on white; the dark set is the same hues made lighter. chart.c holds the light set as
 * fallback. */
static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b2430;--soft:#5a6675;--paper:#f5f6f8;--card:#fff;"
    "--line:#dde2e8;--head:#eef1f5;--stripe:#f8f9fb;--accent:#0072b2;"
    "--s1:#0072b2;--s2:#e69f00;--s3:#009e73;--s4:#cc79a7;--s5:#56b4e9;--s6:#d55e00;--s7:#767676;"
    "--s8:#3b3b3b;--measured:#00694d;--measured-bg:#dff3ec;--simulated:#8a4a00;"
    "--simulated-bg:#fdf0da;--published:#7a3561;--published-bg:#f8e8f1;--derived:#41506b;"
    "--derived-bg:#e6eaf1}\n"
    "@media screen and (prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa7b6;"
    "--paper:#12161c;--card:#1a2028;--line:#303944;--head:#222a34;--stripe:#1d242d;"
    "--accent:#5ab0ea;--s1:#3d9bdc;--s2:#f0b429;--s3:#2cbf94;--s4:#df97c0;--s5:#8fd0f5;"
    "--s6:#f07c3a;--s7:#a0a0a0;--s8:#e8e8e8;--measured:#7fe0c0;--measured-bg:#12382d;"
    "--simulated:#ffcf87;--simulated-bg:#402c0d;--published:#f2b6d6;--published-bg:#402036;"
    "--derived:#b9c6de;--derived-bg:#2a3344}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'Noto Sans',"
    "sans-serif}\n"
    "header,main,footer{max-width:1520px;margin:0 auto;padding:0 28px}\n"
    "header{padding-top:36px;padding-bottom:6px}\n"
    "h1{font-size:28px;line-height:1.2;margin:0;letter-spacing:-.01em;font-weight:650}\n"
    "header p{margin:6px 0 0;color:var(--soft);font-size:16px}\n"
    "main{display:grid;grid-template-columns:minmax(0,1fr);gap:18px}\n"
    "main>*{grid-column:1/-1;margin:0;min-width:0}\n"
    "h2{font-size:19px;font-weight:620;margin-top:18px!important;padding-bottom:6px;"
    "border-bottom:2px solid var(--line)}\n"
    "main>p{max-width:78ch}\n"
    "pre.command{font:13px/1.5 ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "background:var(--head);border:1px solid var(--line);border-radius:6px;padding:10px 14px;"
    "white-space:pre-wrap;overflow-wrap:anywhere}\n"
    ".table,figure.chart{background:var(--card);border:1px solid var(--line);border-radius:8px}\n"
    ".table{overflow:auto;max-height:88vh}\n"
    "table{border-collapse:separate;border-spacing:0;width:100%;font-size:14px}\n"
    "caption{text-align:left;font-weight:620;padding:12px 16px 10px}\n"
    "caption:empty{display:none}\n"
    "th,td{padding:7px 8px;text-align:left;vertical-align:top;"
    "border-bottom:1px solid var(--line)}\n"
    "th:first-child,td:first-child{padding-left:16px;position:sticky;left:0;"
    "background:var(--card)}\n"
    "th,th:first-child{position:sticky;top:0;z-index:1;background:var(--head);font-weight:600;"
    "font-size:13px;line-height:1.35;border-top:1px solid var(--line);vertical-align:bottom}\n"
    "th:first-child{z-index:2}\n"
    "td:first-child{font-weight:560}\n"
    "tbody tr:nth-child(even) td{background:var(--stripe)}\n"
    "tbody tr:last-child td{border-bottom:0}\n"
    ".number{text-align:right;font-variant-numeric:tabular-nums}\n"
    "td.number{white-space:nowrap}\n"
    ".unit{font-weight:400;color:var(--soft)}\n"
    ".remark{display:inline-block;font-size:12px;line-height:1.35;color:var(--soft);"
    "font-weight:400;white-space:normal;width:max-content;max-width:17ch}\n"
    ".label{display:inline-block;font-size:11px;line-height:1.5;font-weight:600;padding:0 7px;"
    "border-radius:9px;margin-top:3px;letter-spacing:.01em;white-space:nowrap}\n"
    ".measured{color:var(--measured);background:var(--measured-bg)}\n"
    ".simulated{color:var(--simulated);background:var(--simulated-bg)}\n"
    ".published,.stated{color:var(--published);background:var(--published-bg)}\n"
    ".derived{color:var(--derived);background:var(--derived-bg)}\n"
    ".note{margin:0;padding:8px 16px;font-size:13px;color:var(--soft);"
    "border-top:1px solid var(--line)}\n"
    ".note+.note{border-top:0;padding-top:0}\n"
    "figure.chart{padding:14px 16px 10px;overflow-x:auto}\n"
    "figcaption{font-weight:620;font-size:15px;margin-bottom:6px}\n"
    "figcaption .label{margin:0 0 0 6px;vertical-align:1px}\n"
    "figure.chart svg{display:block;width:100%;min-width:460px;max-width:760px;height:auto;"
    "font-family:inherit}\n"
    "svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}svg .grid{stroke:var(--line)}\n"
    "svg .axis,svg .leader{stroke:var(--soft)}svg .dot{stroke:var(--card)}\n"
    "svg .hatch{stroke:var(--card)}\n"
    ".s1{fill:var(--s1)}.s2{fill:var(--s2)}.s3{fill:var(--s3)}.s4{fill:var(--s4)}"
    ".s5{fill:var(--s5)}.s6{fill:var(--s6)}.s7{fill:var(--s7)}.s8{fill:var(--s8)}\n"
    "footer{padding-top:22px;padding-bottom:36px;color:var(--soft);font-size:13px}\n"
    "@media (min-width:1040px){main{grid-template-columns:repeat(2,minmax(0,1fr))}"
    "main>figure.chart{grid-column:auto}}\n"
    "@media (max-width:700px){th:first-child,td:first-child{left:auto}"
    "header,main,footer{padding-left:14px;padding-right:14px}}\n"
    "@media print{@page{size:landscape;margin:12mm}:root{--paper:#fff}body{font-size:10pt}"
    "header,main,footer{max-width:none;padding-left:0;padding-right:0}header{padding-top:0}"
    "main{display:block}main>*{margin:0 0 10pt}"
    "main>figure.chart{display:inline-block;width:48.5%;margin-right:1%;vertical-align:top;"
    "overflow:visible}figure.chart svg{min-width:0}.table{overflow:visible;max-height:none}"
    "table,th,th:first-child{font-size:8pt}th,td{padding:3pt 4pt}.note{font-size:8pt}"
    "th,th:first-child,td:first-child{position:static}th{white-space:normal}"
    "td:first-child{overflow-wrap:anywhere}.remark{width:auto;font-size:7pt}"
    "thead{display:table-header-group}tr,figure.chart{break-inside:avoid}"
    "h2,caption{break-after:avoid}"
    ".label,th,td,svg *{-webkit-print-color-adjust:exact;print-color-adjust:exact}}\n";

static void element(lac_text *out, const char *tag, const char *attributes, const char *text)
{
    lac_text_add(out, "<%s%s>", tag, attributes);
    lac_html_escape(out, text);
    lac_text_add(out, "</%s>\n", tag);
}

void lac_page_begin(lac_text *out, const char *title, const char *subtitle)
{
    /* The policy makes "no external resource, no script" a property the browser keeps. */
    lac_text_add(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                      "style-src 'unsafe-inline'\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                      "<meta name=\"color-scheme\" content=\"light dark\">\n");
    element(out, "title", "", title);
    lac_text_add(out, "<style>\n%s</style>\n</head>\n<body>\n<header>\n", style);
    element(out, "h1", "", title);
    if (subtitle[0])
        element(out, "p", "", subtitle);
    lac_text_add(out, "</header>\n<main>\n");
}

void lac_page_section(lac_text *out, const char *heading)
{
    element(out, "h2", "", heading);
}

void lac_page_command(lac_text *out, const char *text)
{
    element(out, "pre", " class=\"command\"", text);
}

void lac_page_report(lac_text *out, const lac_report *report)
{
    lac_text_add(out, "<div class=\"table\">\n");
    lac_report_html(report, out);
    lac_text_add(out, "</div>\n");
}

void lac_page_end(lac_text *out, const char *footer)
{
    lac_text_add(out, "</main>\n");
    if (footer[0])
        element(out, "footer", "", footer);
    lac_text_add(out, "</body>\n</html>\n");
}
