<?php
// A reseller's session with a class in the manner of the one that panels publish: prints what it got as JSON.

class Api
{
    public $api_url;
    public $api_key;
    // Posts an array as it is, which curl sends as multipart/form-data.
    public $as_array = false;

    public function order($data)
    {
        return json_decode($this->connect(array_merge(['key' => $this->api_key, 'action' => 'add'], $data)));
    }

    public function status($order_id)
    {
        return json_decode($this->connect(['key' => $this->api_key, 'action' => 'status', 'order' => $order_id]));
    }

    public function multiStatus($order_ids)
    {
        return json_decode((string) $this->connect([
            'key' => $this->api_key,
            'action' => 'status',
            'orders' => implode(',', (array) $order_ids),
        ]));
    }

    public function services()
    {
        return json_decode($this->connect(['key' => $this->api_key, 'action' => 'services']));
    }

    public function balance()
    {
        return json_decode($this->connect(['key' => $this->api_key, 'action' => 'balance']));
    }

    private function connect($post)
    {
        $pairs = [];
        foreach ($post as $name => $value) {
            $pairs[] = $name . '=' . urlencode($value);
        }
        $ch = curl_init($this->api_url);
        curl_setopt($ch, CURLOPT_RETURNTRANSFER, 1);
        curl_setopt($ch, CURLOPT_POST, 1);
        curl_setopt($ch, CURLOPT_SSL_VERIFYPEER, 0);
        curl_setopt($ch, CURLOPT_SSL_VERIFYHOST, 0);
        curl_setopt($ch, CURLOPT_HEADER, 0);
        curl_setopt($ch, CURLOPT_FOLLOWLOCATION, 1);
        curl_setopt($ch, CURLOPT_POSTFIELDS, $this->as_array ? $post : join('&', $pairs));
        curl_setopt($ch, CURLOPT_USERAGENT, 'Mozilla/4.0 (compatible; MSIE 5.01; Windows NT 5.0)');
        $result = curl_exec($ch);
        if (curl_errno($ch) != 0 && empty($result)) {
            $result = false;
        }
        return $result;
    }
}

$api = new Api();
[, $api->api_url, $api->api_key, $way] = $argv;
$api->as_array = $way === 'array';

$seen = ['services' => $api->services(), 'balance' => $api->balance()];
$seen['plain'] = $api->order(['service' => 1001, 'link' => 'https://example.com/p/1?a=1&b=2', 'quantity' => 100]);
$seen['drip'] = $api->order(
    ['service' => 1001, 'link' => 'https://example.com/p/2', 'quantity' => 50, 'runs' => 3, 'interval' => 10]
);
$seen['comments'] = $api->order(
    ['service' => 1008, 'link' => 'https://example.com/p/3', 'comments' => "good & nice\nвау"]
);
$orders = [$seen['plain']->order, $seen['drip']->order, $seen['comments']->order];
$seen['status'] = $api->status($orders[0]);
$seen['statuses'] = $api->multiStatus(array_merge($orders, [999]));
$seen['errors'] = [
    'quantity' => $api->order(['service' => 1001, 'link' => 'https://example.com/p/4', 'quantity' => 1])->error,
    'order' => $api->status(999)->error,
];
$seen['left'] = $api->balance();
$api->api_key = str_repeat('0', 32);
$seen['errors']['key'] = $api->balance()->error;
echo json_encode($seen);
