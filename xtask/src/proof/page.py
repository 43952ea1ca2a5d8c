"""Looks at the status page in a browser as an operator would; anything unexpected ends it."""

import json
import os
import re
import sys
import tempfile
import time
import urllib.request

from selenium import webdriver
from selenium.webdriver.common.by import By

BASE, SCREENSHOT, SECRETS = sys.argv[1], sys.argv[2], json.loads(os.environ["SECRETS"])
TOKEN = os.environ["GATEWAY_TOKEN"]
LIMIT = 30


def check(what, is_so, shown=""):
    print(f"  {what}: {'yes' if is_so else 'NO'} {shown}".rstrip())
    if not is_so:
        sys.exit(f"{what}: {shown}\n{text()}")


def text():
    return browser.find_element(By.TAG_NAME, "body").text


def wait(what, find):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        found = find()
        if found:
            check(what, True, found if isinstance(found, str) else "")
            return found
        time.sleep(0.1)
    check(what, False)


def left():
    """The seconds that the shown cooldown has left."""
    found = re.search(r"cooldown[^\n]*?(\d+) s left", text())
    return int(found.group(1)) if found else None


def ask(**headers):
    body = json.dumps({"messages": [{"role": "user", "content": "ping"}]}).encode()
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json", **headers}
    request = urllib.request.Request(f"{BASE}/v1/chat/completions", data=body, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return json.load(opener.open(request))["choices"][0]["message"]["content"]


def enter(secret):
    field = browser.find_element(By.ID, "secret")
    field.send_keys(secret)
    field.submit()


options = webdriver.ChromeOptions()
options.binary_location = os.environ.get("CHROMIUM", "/usr/bin/chromium")
for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
             "disable-component-update", "disable-sync", "window-size=1100,900", "no-proxy-server",
             "user-data-dir=" + tempfile.mkdtemp(dir=os.path.dirname(SCREENSHOT))):
    options.add_argument("--" + flag)
options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
service = webdriver.ChromeService(os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver"))
browser = webdriver.Chrome(options=options, service=service)
console, hosts = [], set()


def listen():
    """What the browser has logged and asked for since the last time."""
    console.extend(browser.get_log("browser"))
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            scheme, _, rest = message["params"]["request"]["url"].partition("://")
            # The empty page of the beginning has no host.
            if rest and scheme != "chrome":
                hosts.add(rest.split("/")[0])


try:
    browser.get(BASE + "/")
    wait("asks for the token", lambda: browser.find_element(By.ID, "secret").is_displayed())
    enter("sk-test-wrong")
    wait("says that a token is wrong", lambda: "not the gateway's token" in text())
    enter(TOKEN)
    wait("shows the providers", lambda: "acme" in text() and "cobalt" in text())
    check("the form is gone", not browser.find_element(By.ID, "secret").is_displayed())
    check("every profile is there", all(name in text() for name in ("acme:limited", "acme:good", "cobalt:a")))
    check("a name that is markup is text", "<img src=x onerror=" in text())
    check("no markup came of it", not browser.find_elements(By.TAG_NAME, "img"))
    check("nothing has failed yet", "None." in text())
    check("at a glance", "5 of 5 stored credentials ready." in text())

    browser.execute_script("window.sameDocument = true")
    check("a limited key, and the next answers", ask() == "pong")
    begun = time.monotonic()
    wait("the failure appears by itself", lambda: "rate_limit 429" in text())
    print(f"  after {time.monotonic() - begun:.1f} s")
    seen = {wait("its cooldown has a clock", left)}
    for _ in range(40):
        time.sleep(0.25)
        seen.add(left())
    check("the clock counts down every second", len(seen - {None}) >= 8, str(sorted(seen - {None}, reverse=True)))
    check("at a glance", "4 of 5 stored credentials ready." in text() and "clear-cooldown" in text())
    check("without another load", browser.execute_script("return window.sameDocument === true"))

    browser.refresh()
    wait("a reload does not ask again", lambda: "acme:limited" in text())
    listen()
    html = browser.page_source
    check("no secret in the document", not any(secret in html for secret in SECRETS + [TOKEN]))
    check("the token is in no address", TOKEN not in browser.current_url)
    check("nothing from another host", hosts == {BASE.split("//")[1]}, str(sorted(hosts)))
    # The refusals that were asked for above are the only thing the browser has to say.
    wrong = [entry["message"] for entry in console if "status.json" not in entry["message"]]
    check("no error in the console", not wrong, str(wrong))
    browser.save_screenshot(SCREENSHOT)

    marked = "document.querySelector('#report td:last-child')"
    browser.execute_script(f"window.cell = {marked}")
    time.sleep(7)
    check("what did not change stays marked", browser.execute_script(f"return window.cell === {marked}"))
finally:
    browser.quit()
